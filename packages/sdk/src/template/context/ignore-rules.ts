import type { ContextModules } from './modules.ts'

/** Tells whether a path (relative to the context directory, with `/`) is left out of it. */
export interface IgnoreRules {
  isIgnored(path: string): boolean
  /** Whether nothing below an ignored directory can be wanted either, so that it need not be read. */
  canPrune: boolean
}

/**
 * Patterns with the meaning they have in a `.dockerignore`: relative to the context directory, a directory with all
 * it holds, `!` takes back, the last pattern that matches decides
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

/** The patterns of a `.dockerignore`: one a line, without comments. */
export const readIgnoreFile = (content: string): string[] =>
  content
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .filter((line) => !line.startsWith('#'))
    .map((line) => line.trim())
    .filter((line) => line !== '')
