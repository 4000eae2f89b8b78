import { readFileSync } from 'node:fs'

/** Identifies a process, and distinguishes it from a later process with the same pid. */
export interface ProcessIdentity {
  pid: number
  /** Boot id and clock ticks since boot at which it started (field 22 of /proc/<pid>/stat). */
  startedAt: string
}

/** @returns undefined when no such process runs (a zombie does not count) */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the command in parentheses, which may contain spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (fields[0] === 'Z') return undefined
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
    return { pid, startedAt: `${boot}/${fields[19]}` }
  } catch {
    return undefined
  }
}

export const isAlive = (identity: ProcessIdentity): boolean =>
  identify(identity.pid)?.startedAt === identity.startedAt

/** Returns the command line of a process for display, if it is known. */
export function commandLineOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim().slice(0, 120)
  } catch {
    return undefined
  }
}
