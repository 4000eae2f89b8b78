import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const RESTART_DELAY_MS = 1_000

export interface NftMonitorOptions {
  table: string
  /** Process whose changes are our own. */
  ownPid: () => number | undefined
  /** Someone else did something to the table, or it is not known what was done. */
  onChange: () => void
  onError: (error: unknown) => void
}

/** Says at once when someone else touches the table: `nft monitor`, which is started again when it ends. */
export class NftMonitor {
  readonly #options: NftMonitorOptions
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: NftMonitorOptions) {
    this.#options = options
  }

  start(): void {
    const { table, ownPid, onChange, onError } = this.#options
    // not `monitor ruleset`: that does not say whose each change is; detached: Ctrl-C ends the server alone, which drains first
    const child = spawn('nft', ['monitor'], { stdio: ['ignore', 'pipe', 'ignore'], detached: true })
    this.#child = child
    const ended = (why: unknown) => {
      if (this.#isClosed || this.#child !== child) return
      this.#child = undefined
      onError(new Error(`nft monitor ended (${why}); it is started again`))
      // what happened meanwhile is found by looking
      this.#timer = setTimeout(() => {
        this.start()
        onChange()
      }, RESTART_DELAY_MS).unref()
    }
    child.once('error', ended)
    child.once('exit', (code, signal) => ended(code ?? signal))
    child.unref()
    ;(child.stdout as unknown as { unref(): void }).unref()
    const isOurs = new RegExp(`\\binet ${table}\\b`)
    let isTouched = false
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const generation = /^# new generation \d+ by process (\d+)/.exec(line)
      if (!generation) {
        isTouched ||= isOurs.test(line) || line.startsWith('# ERROR')
        return
      }
      if (isTouched && Number(generation[1]) !== ownPid()) onChange()
      isTouched = false
    })
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#child?.kill('SIGKILL')
  }
}
