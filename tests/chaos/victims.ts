import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Kernels of machines that belong to sandboxes: running, paused but still frozen, or being resumed. */
export function sentries(home: string): number[] {
  const machines = join(home, 'run/machines')
  return readdirSync(machines)
    .filter((id) => !['warm', 'prepared'].some((mark) => existsSync(join(machines, id, mark))))
    .flatMap((id) => {
      try {
        return [Number(readFileSync(join(machines, id, 'pid'), 'utf8'))]
      } catch {
        return []
      }
    })
    .filter((pid) => pid > 1)
}

/** runsc processes of this home that write a checkpoint, or start a machine from one. */
export function checkpointWriters(home: string): number[] {
  const root = `--root=${join(home, 'run/runsc')}`
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        return args.includes(root) && WRITES.some((command) => args.includes(command))
      } catch {
        return false
      }
    })
    .map(Number)
}

const WRITES = ['checkpoint', 'fscheckpoint', 'restore']

/** Kills processes. @returns whether any of them was still alive */
export function killNow(pid: number | undefined): boolean {
  if (pid === undefined) return false
  try {
    process.kill(pid, 'SIGKILL')
    return true
  } catch {
    return false
  }
}
