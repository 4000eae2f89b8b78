import { mkdirSync, statSync } from 'node:fs'
import { appendFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Bytes after which the log becomes `<name>.1`; so both together take at most twice this. */
const MAX_SIZE_BYTES = 4 * 1024 * 1024
const MAX_LINE_CHARACTERS = 4096
/** What the disk has not taken yet; beyond this, lines are dropped. */
const MAX_UNWRITTEN_CHARACTERS = 1024 * 1024

/**
 * The gateway's log: one line an event, which names the server that it is about. Writes in the background, as a busy disk
 * may hold up a write for seconds, and with it all servers.
 */
export class Log {
  readonly #file: string
  #sizeBytes: number
  #unwritten = ''
  #writing?: Promise<void>

  constructor(file: string) {
    this.#file = file
    mkdirSync(dirname(file), { recursive: true })
    this.#sizeBytes = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  }

  write(about: string, text: string): void {
    if (this.#unwritten.length > MAX_UNWRITTEN_CHARACTERS) return
    this.#unwritten += `${new Date().toISOString()} ${about}: ${text.trimEnd().slice(0, MAX_LINE_CHARACTERS)}\n`
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
  }

  /** Resolves when everything is in the file. */
  async written(): Promise<void> {
    await this.#writing
  }

  async #writeAll(): Promise<void> {
    while (this.#unwritten !== '') {
      const text = this.#unwritten
      this.#unwritten = ''
      try {
        if (this.#sizeBytes > MAX_SIZE_BYTES) {
          await rename(this.#file, `${this.#file}.1`)
          this.#sizeBytes = 0
        }
        await appendFile(this.#file, text, { mode: 0o640 })
        this.#sizeBytes += Buffer.byteLength(text)
      } catch {
        // a full disk must not end the gateway
      }
    }
  }
}
