import type { TLSSocket } from 'node:tls'
import { Outlet } from '../outlet.ts'
import { newProgress, type Progress } from '../socket-reader.ts'

/** One direction of a connection: frames that pass, and frames of the proxy itself between them. */
export class FrameOutlet extends Outlet {
  readonly progress: Progress
  /** Whether the last byte that passed was amid a frame. */
  readonly #isAmidFrame: () => boolean
  /** Frames that wait for the end of the frame that passes. */
  #waiting: Buffer[] = []
  #waitingBytes = 0

  constructor(socket: TLSSocket, isAmidFrame: () => boolean) {
    const progress = newProgress()
    super(socket, progress)
    this.progress = progress
    this.#isAmidFrame = isAmidFrame
  }

  /** Of frames that wait for the end of the frame that passes. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  override get pendingBytes(): number {
    return super.pendingBytes + this.#waitingBytes
  }

  /** Sends a frame after the frame that passes now. */
  insert(frame: Buffer): void {
    if (!this.#isAmidFrame()) {
      this.flush()
      this.pass(frame)
      return
    }
    this.#waiting.push(frame)
    this.#waitingBytes += frame.length
  }

  /** Passes on what waits. Must be called when frames may have ended. */
  flush(): void {
    if (this.#waitingBytes === 0 || this.#isAmidFrame()) return
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    for (const frame of waiting) this.pass(frame)
  }
}
