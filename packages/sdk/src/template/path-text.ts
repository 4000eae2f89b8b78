import type { PathLike } from 'node:fs'
import { TemplateError } from '../errors.ts'

/** A path in a sandbox as text; a `file:` URL by its path, a buffer as UTF-8. */
export function pathText(path: PathLike): string {
  if (typeof path === 'string') return path
  if ('pathname' in path) return decodeURIComponent(path.pathname)
  return new TextDecoder().decode(path)
}

/**
 * Path or glob of files in the context directory.
 *
 * @throws {@link TemplateError} if it is absolute or leads out
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
