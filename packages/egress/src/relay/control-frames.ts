import { ConnectionError, ErrorCode } from './frames.ts'

/** Frames in one interval that carry nothing of a message, beyond those that messages bring with them. */
const MAX_FRAMES = 1_000
const INTERVAL_MS = 5_000
/** Clients send a priority or a reset with each request, and ask for the time of the way with each piece of data. */
const FRAMES_PER_MESSAGE = 4

/** Bounds the frames of one side that keep the proxy busy without messages. */
export class ControlFrames {
  #count = 0
  #sinceMs = 0

  /** @throws ConnectionError */
  count(): void {
    if (this.#count === 0) this.#sinceMs = performance.now()
    if (++this.#count <= MAX_FRAMES) return
    if (performance.now() - this.#sinceMs < INTERVAL_MS)
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, 'too many frames without a message')
    this.#count = 0
  }

  /** A frame of either side has carried a part of a message. */
  onMessage(): void {
    this.#count = Math.max(0, this.#count - FRAMES_PER_MESSAGE)
  }
}
