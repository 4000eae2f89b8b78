import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { startCompanion } from '../host/companion.ts'

const FIRST_RESTART_DELAY_MS = 1_000
const MAX_RESTART_DELAY_MS = 60_000

export interface LineProcessOptions {
  command: string
  args: readonly string[]
  onLine: (line: string) => void
  onError: (error: unknown) => void
}

/** A program that reports events as lines for as long as the server wants them. It is restarted when it ends. */
export class LineProcess {
  readonly #options: LineProcessOptions
  #child: ChildProcess | undefined
  #restart: NodeJS.Timeout | undefined
  #delayMs = FIRST_RESTART_DELAY_MS

  constructor(options: LineProcessOptions) {
    this.#options = options
  }

  get isRunning(): boolean {
    return this.#child !== undefined || this.#restart !== undefined
  }

  /** Does nothing while the program runs. */
  start(): void {
    if (!this.isRunning) this.#spawn()
  }

  stop(): void {
    clearTimeout(this.#restart)
    this.#restart = undefined
    const child = this.#child
    this.#child = undefined
    child?.kill('SIGKILL')
  }

  #spawn(): void {
    const { command, args, onLine, onError } = this.#options
    const child = startCompanion(command, args)
    this.#child = child
    const ended = (why: unknown) => {
      if (this.#child !== child) return
      this.#child = undefined
      onError(new Error(`${command} ${args[0]} ended (${why}); it is restarted in ${this.#delayMs} ms`))
      this.#restart = setTimeout(() => {
        this.#restart = undefined
        this.#spawn()
      }, this.#delayMs).unref()
      this.#delayMs = Math.min(this.#delayMs * 2, MAX_RESTART_DELAY_MS)
    }
    child.once('error', ended)
    child.once('exit', (code, signal) => ended(code ?? signal))
    child.unref()
    ;(child.stdout as unknown as { unref(): void }).unref()
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (this.#child !== child) return
      this.#delayMs = FIRST_RESTART_DELAY_MS
      onLine(line)
    })
  }
}
