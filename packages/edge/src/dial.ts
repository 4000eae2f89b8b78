import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Opens a TCP connection to a port of a sandbox. Rejects with the system's error. */
export type Dial = (address: string, port: number) => Promise<Socket>

const CONNECT_TIMEOUT_MS = 5_000
/** Delays after a refusal: a server that is just starting gets half a second. */
const RETRY_DELAYS_MS = [25, 75, 150, 250]

export const dialTcp: Dial = (address, port) =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, noDelay: true })
    const timer = setTimeout(() => socket.destroy(timedOut(address, port)), CONNECT_TIMEOUT_MS)
    socket.once('error', reject)
    socket.once('close', () => clearTimeout(timer))
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', reject)
      resolve(socket)
    })
  })

const timedOut = (address: string, port: number): Error =>
  Object.assign(new Error(`no connection to ${address}:${port} within ${CONNECT_TIMEOUT_MS} ms`), {
    code: 'ETIMEDOUT',
  })

/** The port refused every connection. */
export class PortClosedError extends Error {}

/**
 * Connects to a port that may listen on the sandbox's loopback only. After the first refusal `forward` asks envd once to
 * forward the port; then the connection is retried for half a second in total.
 * @throws PortClosedError
 */
export async function dialPort(
  dial: Dial,
  address: string,
  port: number,
  forward: (() => Promise<void>) | undefined,
): Promise<Socket> {
  try {
    return await dial(address, port)
  } catch (error) {
    if (!isRefusal(error) || !forward) throw closed(error)
  }
  await forward()
  for (const delayMs of [0, ...RETRY_DELAYS_MS]) {
    if (delayMs > 0) await sleep(delayMs)
    try {
      return await dial(address, port)
    } catch (error) {
      if (!isRefusal(error)) throw closed(error)
    }
  }
  throw closed()
}

const isRefusal = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ECONNREFUSED'

const closed = (cause?: unknown): PortClosedError => new PortClosedError('the port is not open', { cause })
