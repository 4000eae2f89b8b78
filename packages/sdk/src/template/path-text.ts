import type { PathLike } from 'node:fs'
import { TemplateError } from '../errors.ts'

/** Converts a path in a sandbox to text: a `file:` URL to its path, a buffer by UTF-8. */
export function pathText(path: PathLike): string {
  if (typeof path === 'string') return path
  if ('pathname' in path) return decodeURIComponent(path.pathname)
  return new TextDecoder().decode(path)
}

/**
 * Converts a path or glob of files in the context directory to text.
 *
 * @throws {@link TemplateError} if the path is absolute or leaves the context directory
 */
export function sourcePath(path: PathLike): string {
  const text = pathText(path)
  if (/^([\\/]|[A-Za-z]:[\\/])/.test(text))
    throw new TemplateError(
      `Invalid source path "${text}": absolute paths are not allowed. Use a relative path within the context directory.`,
    )
  let depth = 0
  for (const part of text.split(/[\\/]/)) {
    if (part === '..') depth--
    else if (part !== '' && part !== '.') depth++
    if (depth < 0)
      throw new TemplateError(
        `Invalid source path "${text}": path escapes the context directory. The path must stay within the context directory.`,
      )
  }
  return text
}
