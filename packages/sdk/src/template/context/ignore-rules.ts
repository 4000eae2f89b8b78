import type { ContextModules } from './modules.ts'

/** Decides whether a path (relative to the context directory, with `/`) is ignored. */
export interface IgnoreRules {
  isIgnored(path: string): boolean
  /** Whether everything below an ignored directory is ignored too, so that the directory need not be read. */
  canPrune: boolean
}

/**
 * Compiles patterns with their meaning in a `.dockerignore`: they are relative to the context directory, a directory
 * includes its content, `!` makes an exception, and the last pattern that matches decides
 * (https://docs.docker.com/build/concepts/context/#dockerignore-files).
 */
export function ignoreRules(
  { picomatch }: Pick<ContextModules, 'picomatch'>,
  patterns: string[],
): IgnoreRules {
  const rules = patterns.map((pattern) => {
    const isException = pattern.startsWith('!')
    const glob = pattern
      .slice(isException ? 1 : 0)
      .trim()
      .replace(/^(\.?\/+)+/, '')
      .replace(/\/+$/, '')
    return { isException, matches: glob === '' ? () => false : picomatch(glob, { dot: true }) }
  })
  return {
    isIgnored(path) {
      const parts = path.split('/')
      const prefixes = parts.map((_, at) => parts.slice(0, at + 1).join('/'))
      const last = rules.findLast(({ matches }) => prefixes.some((prefix) => matches(prefix)))
      return last !== undefined && !last.isException
    },
    canPrune: rules.every(({ isException }) => !isException),
  }
}

/** Returns the patterns of a `.dockerignore`: one per line, without comments. */
export const readIgnoreFile = (content: string): string[] =>
  content
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.trim())
    .filter((line) => line !== '')
