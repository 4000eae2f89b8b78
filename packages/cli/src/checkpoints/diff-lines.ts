import type { SandboxDiff } from 'e2b'

export interface DiffLine {
  /** Letters of git for added, modified and deleted. */
  letter: 'A' | 'M' | 'D'
  path: string
}

/** One line for each path, sorted by path. */
export function diffLines({ added, changed, deleted }: SandboxDiff): DiffLine[] {
  const lines = [
    ...added.map((path) => ({ letter: 'A' as const, path })),
    ...changed.map((path) => ({ letter: 'M' as const, path })),
    ...deleted.map((path) => ({ letter: 'D' as const, path })),
  ]
  return lines.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Makes a path of a sandbox safe to print: one with control characters is written as a JSON string in one line. */
export const printablePath = (path: string): string =>
  /\p{Cc}/u.test(path)
    ? JSON.stringify(path).replace(
        /[\u007f-\u009f]/g,
        (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
    : path
