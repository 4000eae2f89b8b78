import type { Sandbox } from 'e2b'

const REQUEST_TIMEOUT_MS = 5000

/** Signals that repeated Ctrl-C sends, each stricter than the one before. */
const STRICTER = ['INT', 'TERM', 'KILL'] as const

/**
 * Passes Ctrl-C, SIGTERM and SIGHUP on to the program in the sandbox and its children. The third signal also ends this
 * process, whatever the program does.
 */
export function forwardSignals(sandbox: Sandbox, pid: number, user?: string): () => void {
  let times = 0
  const forward = (signal: NodeJS.Signals): void => {
    const rank = signal === 'SIGINT' ? times : Math.max(times, 1)
    times++
    if (rank >= STRICTER.length) process.exit(130)
    void send(STRICTER[rank]!)
  }
  const send = async (name: string): Promise<void> => {
    const opts = { requestTimeoutMs: REQUEST_TIMEOUT_MS, ...(user && { user }) }
    // envd starts each program as a session of its own, whose group is its pid.
    await sandbox.commands
      .run(`kill -${name} -- -${pid} 2>/dev/null || kill -${name} ${pid}`, opts)
      .catch(() => {})
  }
  const signals: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  return () => {
    for (const signal of signals) process.off(signal, forward)
  }
}
