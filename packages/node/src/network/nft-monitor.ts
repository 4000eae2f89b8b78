import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { startCompanion } from '../host/companion.ts'

const RESTART_DELAY_MS = 1_000

export interface NftMonitorOptions {
  table: string
  /** Whether a process makes changes for this server. */
  isOwn: (pid: number) => boolean
  /**
   * Called when another process has changed the table, or changes may have been missed.
   * @param isTouched whether elements of policies were changed that are too many to compare
   */
  onChange: (isTouched: boolean) => void
  onError: (error: unknown) => void
}

/** Reports changes of the table by other processes at once, through `nft monitor`, which is restarted when it ends. */
export class NftMonitor {
  readonly #options: NftMonitorOptions
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: NftMonitorOptions) {
    this.#options = options
  }

  start(): void {
    const { table, isOwn, onChange, onError } = this.#options
    // not `monitor ruleset`, which does not report the process
    const child = startCompanion('nft', ['monitor'])
    this.#child = child
    const ended = (why: unknown) => {
      if (this.#isClosed || this.#child !== child) return
      this.#child = undefined
      onError(new Error(`nft monitor ended (${why}); it is restarted`))
      // changes in between are found by a comparison
      this.#timer = setTimeout(() => {
        this.start()
        onChange(false)
      }, RESTART_DELAY_MS).unref()
    }
    child.once('error', ended)
    child.once('exit', (code, signal) => ended(code ?? signal))
    child.unref()
    ;(child.stdout as unknown as { unref(): void }).unref()
    const isOurs = new RegExp(`\\binet ${table}\\b`)
    const isRange = new RegExp(`\\belement inet ${table} (allow_|deny_|resolved|\\w*diverted)`)
    let isTouched = false
    let isRangeTouched = false
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const generation = /^# new generation \d+ by process (\d+)/.exec(line)
      if (!generation) {
        isTouched ||= isOurs.test(line) || line.startsWith('# ERROR')
        isRangeTouched ||= isRange.test(line)
        return
      }
      if (isTouched && !isOwn(Number(generation[1]))) onChange(isRangeTouched)
      isTouched = false
      isRangeTouched = false
    })
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#child?.kill('SIGKILL')
  }
}
