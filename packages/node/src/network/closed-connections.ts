import { ConntrackSocket, type TcpFlow } from './conntrack-socket.ts'

/**
 * How long a closed connection stays in the kernel's table. A last packet that was lost is repeated within this time; the
 * kernel alone would keep the connection for up to three minutes.
 */
const LINGER_MS = 2_000
/** Connections that wait; those beyond are left to the kernel. */
const MAX_WAITING = 20_000
/** Removes a few at a time, as nothing else happens in this process meanwhile. */
const MAX_BATCH = 250
const BATCH_INTERVAL_MS = 25
const LOOK_INTERVAL_MS = 500

/**
 * Makes the kernel forget TCP connections soon after they closed. That is when the kernel reports how many bytes they had,
 * once and for good, so a connection has one record also when the server is restarted between.
 */
export class ClosedConnections {
  readonly #onError: (error: unknown) => void
  readonly #waiting = new Map<number, { flow: TcpFlow; atMs: number }>()
  #socket: ConntrackSocket | undefined
  #timer: NodeJS.Timeout | undefined
  #reported: string | undefined

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  add(flow: TcpFlow): void {
    if (this.#waiting.size >= MAX_WAITING) return
    this.#waiting.set(flow.id, { flow, atMs: performance.now() })
    this.#schedule(LINGER_MS)
  }

  /** The kernel has forgotten a connection. */
  delete(id: number): void {
    this.#waiting.delete(id)
  }

  /** Leaves what waits to the kernel. */
  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#waiting.clear()
    this.#socket?.close()
    this.#socket = undefined
  }

  #schedule(delayMs: number): void {
    this.#timer ??= setTimeout(() => this.#removeDue(), delayMs).unref()
  }

  #removeDue(): void {
    this.#timer = undefined
    const due: TcpFlow[] = []
    const limitMs = performance.now() - LINGER_MS
    // in the order in which they closed
    for (const [id, { flow, atMs }] of this.#waiting) {
      if (atMs > limitMs || due.length === MAX_BATCH) break
      due.push(flow)
      this.#waiting.delete(id)
    }
    if (due.length > 0) this.#remove(due)
    if (this.#waiting.size > 0)
      this.#schedule(due.length === MAX_BATCH ? BATCH_INTERVAL_MS : LOOK_INTERVAL_MS)
  }

  #remove(flows: readonly TcpFlow[]): void {
    try {
      this.#socket ??= new ConntrackSocket()
      this.#socket.remove(flows)
    } catch (error) {
      // the records come later then; a second report of one fault would say nothing new
      if (this.#reported !== String(error)) this.#onError(error)
      this.#reported = String(error)
    }
  }
}
