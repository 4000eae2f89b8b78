import { connect, type Socket } from 'node:net'
import { DialError } from './connection.ts'

/** Head start of an address before the next one is tried (RFC 8305, 5). */
const ATTEMPT_DELAY_MS = 250
const MAX_ADDRESSES = 8
const KEEP_ALIVE_DELAY_MS = 60_000

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'connection_refused',
  ECONNRESET: 'connection_refused',
  ETIMEDOUT: 'connect_timeout',
  EHOSTUNREACH: 'host_unreachable',
  ENETUNREACH: 'host_unreachable',
}

/**
 * Connects to the first address that answers: each next one is tried when those before have failed or were silent for a
 * quarter of a second (Happy Eyeballs).
 * @param addresses not empty; the first eight are tried
 * @throws DialError connection_refused, connect_timeout, host_unreachable, connect_failed
 */
export function connectFirst(addresses: string[], port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const waiting = addresses.slice(0, MAX_ADDRESSES)
    const open = new Set<Socket>()
    let firstError: NodeJS.ErrnoException | undefined
    let timer: NodeJS.Timeout | undefined

    const stop = (winner?: Socket) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      for (const socket of open) if (socket !== winner) socket.destroy()
    }
    const fail = (reason: string, cause: unknown) => {
      stop()
      reject(new DialError(reason, `no connection to ${addresses.join(', ')} port ${port}`, { cause }))
    }
    const onAbort = () => fail('connect_timeout', signal.reason)
    const attempt = () => {
      clearTimeout(timer)
      const address = waiting.shift()
      if (address === undefined) return
      const socket = connect({
        ...{ host: address, port, noDelay: true, allowHalfOpen: true },
        ...{ keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS },
      })
      open.add(socket)
      socket.once('connect', () => {
        stop(socket)
        waiting.length = 0
        resolve(socket)
      })
      socket.on('error', (error) => {
        // the listener stays on the connection that was made, so that an error there cannot throw
        open.delete(socket)
        firstError ??= error
        if (waiting.length > 0) attempt()
        else if (open.size === 0) fail(REASONS[firstError.code ?? ''] ?? 'connect_failed', firstError)
      })
      if (waiting.length > 0) timer = setTimeout(attempt, ATTEMPT_DELAY_MS)
    }

    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else attempt()
  })
}
