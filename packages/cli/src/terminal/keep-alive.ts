import type { Sandbox } from 'e2b'
import { isNotFound } from '../account/missing.ts'

/** How long a sandbox outlives a terminal whose process was killed. */
export const GRACE_MS = 30_000
const INTERVAL_MS = 5000
const PROBE_TIMEOUT_MS = 10_000

export interface KeepAlive {
  /** Never rejects; resolves with the reason when the sandbox is unreachable or no longer running. */
  onTrouble(listener: (trouble: 'unreachable' | 'ended') => void): void
  stop(): void
}

/**
 * Keeps a sandbox alive for at least 30 more seconds while the terminal is open. Only ever extends the time to live, and
 * leaves a paused sandbox paused.
 */
export function keepAlive(sandbox: Sandbox): KeepAlive {
  const listeners: ((trouble: 'unreachable' | 'ended') => void)[] = []
  const tell = (trouble: 'unreachable' | 'ended'): void =>
    listeners.forEach((listener) => void listener(trouble))
  const beat = async (): Promise<void> => {
    try {
      const { state, endAt } = await sandbox.getInfo({ requestTimeoutMs: PROBE_TIMEOUT_MS })
      if (state !== 'running') return tell('ended')
      if (endAt.getTime() - Date.now() < GRACE_MS) {
        await sandbox.setTimeout(GRACE_MS, { requestTimeoutMs: PROBE_TIMEOUT_MS })
      }
    } catch (error) {
      tell(isNotFound(error) ? 'ended' : 'unreachable')
    }
  }
  let isBusy = false
  const timer = setInterval(() => {
    if (isBusy) return
    isBusy = true
    void beat().finally(() => (isBusy = false))
  }, INTERVAL_MS)
  return {
    onTrouble: (listener) => void listeners.push(listener),
    stop: () => clearInterval(timer),
  }
}
