import { stripVTControlCharacters } from 'node:util'

/** Longest message; output of a sandbox can have lines of megabytes, and each report repeats the message. */
const MAX_MESSAGE_CHARS = 200
/** Shortest time between two reports. */
const INTERVAL_MS = 1_000
/** Longest time without a report, so that clients with an idle limit know that the call goes on. */
const HEARTBEAT_MS = 10_000

/** Sends the client of one call how it gets on: at most one report a second, and one every 10 s of silence. */
export class Progress {
  readonly #send: (report: { progress: number; message: string }) => void
  readonly #startedAtMs = performance.now()
  readonly #heartbeat: NodeJS.Timeout
  #lastAtMs = Number.NEGATIVE_INFINITY
  #message = 'running'

  /** @param send gets the seconds since the start, which always grow */
  constructor(send: (report: { progress: number; message: string }) => void) {
    this.#send = send
    this.#heartbeat = setInterval(() => {
      if (performance.now() - this.#lastAtMs >= HEARTBEAT_MS) this.#report()
    }, HEARTBEAT_MS).unref()
  }

  /** @param output of a program; its last line with words is shown */
  report(output: string): void {
    const line = lastLine(output)
    if (line === '') return
    this.#message = line
    if (performance.now() - this.#lastAtMs >= INTERVAL_MS) this.#report()
  }

  end(): void {
    clearInterval(this.#heartbeat)
  }

  #report(): void {
    this.#lastAtMs = performance.now()
    const seconds = (this.#lastAtMs - this.#startedAtMs) / 1000
    this.#send({ progress: Math.round(seconds * 1000) / 1000, message: this.#message })
  }
}

/** The last line that has words, without control characters. */
function lastLine(output: string): string {
  const end = stripVTControlCharacters(output.slice(-2 * MAX_MESSAGE_CHARS))
  const lines = end.split(/[\r\n]+/).map((line) => line.replace(/\p{Cc}/gu, ''))
  return lines.findLast((line) => line.trim() !== '')?.slice(-MAX_MESSAGE_CHARS) ?? ''
}
