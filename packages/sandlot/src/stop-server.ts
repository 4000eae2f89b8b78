import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import { tryLock } from './kernel-lock.ts'
import { isAlive } from './process-identity.ts'
import { findServer, serverLockPath } from './server-lock.ts'

/** Longest wait after SIGTERM; a server drains for at most 10 s. */
const TERM_TIMEOUT_MS = 15_000
const KILL_TIMEOUT_MS = 5_000
const POLL_MS = 50

/** Ends the server of a home with SIGTERM, or with SIGKILL if needed. @returns what happened, as a text for users */
export async function stopServer(home: string): Promise<string> {
  const server = findServer(home)
  if (!server) return 'not running'
  for (const [signal, timeoutMs] of [
    ['SIGTERM', TERM_TIMEOUT_MS],
    ['SIGKILL', KILL_TIMEOUT_MS],
  ] as const) {
    signalProcess(server.pid, signal)
    const deadline = performance.now() + timeoutMs
    while (isAlive(server) && performance.now() < deadline) await sleep(POLL_MS)
    if (!isAlive(server))
      return signal === 'SIGTERM' ? `stopped (pid ${server.pid})` : `killed (pid ${server.pid})`
  }
  throw new SandlotError(
    'operation_timeout',
    `the server (pid ${server.pid}) does not end, even after SIGKILL`,
  )
}

/**
 * Works on a home on which no server can start meanwhile: that server would lose its machines, and its short name to another
 * home. Makes no lock file where no server ever ran.
 * @throws SandlotError conflict when a server has been started meanwhile, or another process removes machines
 */
export async function whileStopped<T>(home: string, work: () => Promise<T>): Promise<T> {
  if (!existsSync(serverLockPath(home))) return work()
  const lock = tryLock(serverLockPath(home))
  if (!lock)
    throw new SandlotError(
      'conflict',
      `a server has been started on ${home}, or another \`sandlot down\` or \`purge\` runs, so nothing was removed. Stop what starts it, such as a service (\`systemctl stop\`), and try again.`,
    )
  try {
    return await work()
  } finally {
    lock.release()
  }
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EPERM')
      throw new SandlotError('forbidden', `pid ${pid} belongs to another user: run this as root`)
    if (code !== 'ESRCH') throw error
  }
}
