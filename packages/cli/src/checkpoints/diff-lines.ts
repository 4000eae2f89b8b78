import type { SandboxDiff } from 'e2b'

export interface DiffLine {
  /** Added, modified, deleted: the letters of git. */
  letter: 'A' | 'M' | 'D'
  path: string
}

/** One line a path, in the order of the paths. */
export function diffLines({ added, changed, deleted }: SandboxDiff): DiffLine[] {
  const lines = [
    ...added.map((path) => ({ letter: 'A' as const, path })),
    ...changed.map((path) => ({ letter: 'M' as const, path })),
    ...deleted.map((path) => ({ letter: 'D' as const, path })),
  ]
  return lines.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** Paths come from inside: one with control characters is written as a string of JSON, in one line and harmless. */
export const printablePath = (path: string): string =>
  /\p{Cc}/u.test(path)
    ? JSON.stringify(path).replace(
        /[\u007f-\u009f]/g,
        (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
    : path
