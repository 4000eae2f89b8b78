import { readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FOLDER_PREFIX } from './connection.ts'

/** Variable in the environment of a kernel and of all its children, with the name of its language. */
export const KERNEL_MARK = 'SANDLOT_KERNEL_OF'
/** Largest number of passes, because a fork bomb may be faster than one pass over all processes. */
const ROUNDS = 100

/**
 * Ends processes of a crashed service's kernels: a fork bomb outlives its kernel, and continues to use up the memory that
 * the service needs.
 * @returns names of the languages of these kernels
 */
export async function endLeftovers(): Promise<Set<string>> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const groups = await markedGroups()
    if (groups.size === 0) break
    for (const group of groups) endGroup(group)
  }
  const folders = (await readdir(tmpdir())).filter((name) => name.startsWith(FOLDER_PREFIX))
  for (const name of folders) await rm(join(tmpdir(), name), { recursive: true, force: true })
  return new Set(folders.map(languageOfFolder))
}

const languageOfFolder = (name: string): string =>
  decodeURIComponent(name.slice(FOLDER_PREFIX.length, name.lastIndexOf('-')))

/** Process groups in which a process has the mark. */
async function markedGroups(): Promise<Set<number>> {
  const groups = new Set<number>()
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8')
      if (!environment.split('\0').some((line) => line.startsWith(`${KERNEL_MARK}=`))) continue
      // the name in parentheses may contain any characters: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
      const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ').at(-1)!.split(' ')
      groups.add(Number(fields[2]))
    } catch {
      // the process has ended, or belongs to another user
    }
  }
  return groups
}

function endGroup(group: number): void {
  try {
    process.kill(-group, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
