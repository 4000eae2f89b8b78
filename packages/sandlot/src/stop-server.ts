import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import { isAlive } from './process-identity.ts'
import { findServer } from './server-lock.ts'

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
    const deadline = Date.now() + timeoutMs
    while (isAlive(server) && Date.now() < deadline) await sleep(POLL_MS)
    if (!isAlive(server))
      return signal === 'SIGTERM' ? `stopped (pid ${server.pid})` : `killed (pid ${server.pid})`
  }
  throw new SandlotError(
    'operation_timeout',
    `the server (pid ${server.pid}) does not end, even after SIGKILL`,
  )
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
