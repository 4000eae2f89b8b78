import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** Bytes after which the log becomes `<name>.1`; so both together take at most twice this. */
const MAX_SIZE_BYTES = 4 * 1024 * 1024
const MAX_LINE_CHARACTERS = 4096

/** The gateway's log: one line an event, which names the server that it is about. */
export class Log {
  readonly #file: string
  #sizeBytes: number

  constructor(file: string) {
    this.#file = file
    mkdirSync(dirname(file), { recursive: true })
    this.#sizeBytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  }

  write(about: string, text: string): void {
    const line = `${new Date().toISOString()} ${about}: ${text.trimEnd().slice(0, MAX_LINE_CHARACTERS)}\n`
    try {
      if (this.#sizeBytes > MAX_SIZE_BYTES) {
        renameSync(this.#file, `${this.#file}.1`)
        this.#sizeBytes = 0
      }
      appendFileSync(this.#file, line, { mode: 0o640 })
      this.#sizeBytes += Buffer.byteLength(line)
    } catch {
      // a full disk must not end the gateway
    }
  }
}
