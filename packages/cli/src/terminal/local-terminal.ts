import { once } from 'node:events'
import type { ReadStream, WriteStream } from 'node:tty'
import { ScreenModes } from './screen-modes.ts'

/** Size of a session without a local terminal. */
const NO_TERMINAL = { cols: 80, rows: 24 }

export interface Size {
  cols: number
  rows: number
}

/**
 * The user's terminal while a program in a sandbox uses it. However the process ends, the terminal's mode, screen and
 * cursor are restored.
 */
export class LocalTerminal {
  readonly #input = process.stdin as ReadStream
  readonly #output = process.stdout as WriteStream
  readonly #modes = new ScreenModes()
  #isTaken = false
  #isGivenBack = false
  readonly #giveBack = () => this.release()
  // While this process was stopped, the shell has set its own terminal mode.
  readonly #takeAgain = () => this.#setRaw(true)

  /** Whether standard input is a terminal, not a pipe. */
  get isInteractive(): boolean {
    return this.#input.isTTY === true
  }

  get input(): NodeJS.ReadStream {
    return this.#input
  }

  size(): Size {
    const { columns, rows } = this.#output.isTTY ? this.#output : (process.stderr as WriteStream)
    return columns > 0 && rows > 0 ? { cols: columns, rows } : NO_TERMINAL
  }

  onResize(listener: () => void): () => void {
    process.on('SIGWINCH', listener)
    return () => void process.off('SIGWINCH', listener)
  }

  /** Passes all keys to the program in the sandbox from now on, Ctrl-C too. */
  take(): void {
    this.#isTaken = true
    this.#setRaw(true)
    process.on('exit', this.#giveBack)
    process.on('SIGCONT', this.#takeAgain)
  }

  /** Writes output of the program; resolves when the terminal has accepted it. */
  async write(data: Uint8Array): Promise<void> {
    // Output that arrives later would change the modes again.
    if (this.#isGivenBack) return
    this.#modes.observe(data)
    if (!this.#output.write(data)) await once(this.#output, 'drain')
  }

  /** May be called more than once. */
  release(): void {
    if (!this.#isTaken) return
    this.#isTaken = false
    this.#isGivenBack = true
    process.off('exit', this.#giveBack)
    process.off('SIGCONT', this.#takeAgain)
    this.#setRaw(false)
    const undo = this.#modes.undo()
    if (this.#output.isTTY && undo) this.#output.write(undo)
    this.#input.pause()
  }

  #setRaw(isRaw: boolean): void {
    if (!this.#input.isTTY) return
    try {
      this.#input.setRawMode(isRaw)
    } catch {
      // The terminal has hung up (SIGHUP), so there is nothing to restore.
    }
  }
}
