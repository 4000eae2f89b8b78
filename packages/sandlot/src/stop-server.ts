import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import { isAlive } from './process-identity.ts'
import { findServer } from './server-lock.ts'

/** A server drains for at most 10 s after SIGTERM. */
const TERM_TIMEOUT_MS = 15_000
const KILL_TIMEOUT_MS = 5_000
const POLL_MS = 50

/** Ends the server of a home with SIGTERM, and SIGKILL when it does not end. @returns what happened, in words for users */
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
    `the server (pid ${server.pid}) does not end, not even by SIGKILL`,
  )
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EPERM')
      throw new SandlotError('forbidden', `pid ${pid} is another user's: run this as root`)
    if (code !== 'ESRCH') throw error
  }
}
