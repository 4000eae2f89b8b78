import type { ChildProcess } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { startCompanion } from '../host/companion.ts'
import { untilListening } from './netlink-listeners.ts'

const RESTART_DELAY_MS = 1_000
/** Group of netfilter's events with traced packets; the monitor joins it together with that of changes. */
const TRACE_GROUP = 9
/** Longest wait for the monitor to listen: it takes 20 ms, and seconds on a machine with a load of 40. */
const LISTENING_TIMEOUT_MS = 10_000

/** The kernel names processes by their ids in the first namespace, which mean nothing in another one, as of a container. */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]'

export interface NftMonitorOptions {
  table: string
  /** Whether a process makes changes for this server. */
  isOwn: (pid: number) => boolean
  /**
   * Called when another process has changed the table, or changes may have been missed.
   * @param isTouched whether elements of policies were changed that are too many to compare; false when processes cannot be
   *   told apart
   */
  onChange: (isTouched: boolean) => void
  /** Called with each line about a traced packet, of any table. */
  onTrace?: (line: string) => void
  onError: (error: unknown) => void
}

/**
 * Reports changes of the table by other processes at once, and traced packets, through `nft monitor`, which is restarted when
 * it ends.
 */
export class NftMonitor {
  readonly #options: NftMonitorOptions
  #child: ChildProcess | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: NftMonitorOptions) {
    this.#options = options
  }

  start(): void {
    const { onChange, onError } = this.#options
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
    createInterface({ input: child.stdout! }).on('line', this.#reader())
  }

  /** Resolves when changes and traces are reported, or when that takes too long. */
  async untilListening(): Promise<void> {
    const pid = this.#child?.pid
    if (pid !== undefined) await untilListening(pid, TRACE_GROUP, LISTENING_TIMEOUT_MS)
  }

  /** @returns takes the lines of one process */
  #reader(): (line: string) => void {
    const { table, isOwn, onChange, onTrace } = this.#options
    const isOurs = new RegExp(`\\binet ${table}\\b`)
    const isRange = new RegExp(`\\belement inet ${table} (allow_|deny_|resolved|\\w*diverted)`)
    const knowsProcesses = readlinkSync('/proc/self/ns/pid') === FIRST_PID_NAMESPACE
    let isTouched = false
    let isRangeTouched = false
    return (line) => {
      if (line.startsWith('trace id ')) return onTrace?.(line)
      // at once, because the change that is seen next tells nothing about those that were lost
      if (line.startsWith('# ERROR')) return onChange(false)
      const generation = /^# new generation \d+ by process (\d+)/.exec(line)
      if (!generation) {
        isTouched ||= isOurs.test(line)
        isRangeTouched ||= isRange.test(line)
        return
      }
      if (isTouched && !isOwn(Number(generation[1]))) onChange(knowsProcesses && isRangeTouched)
      isTouched = false
      isRangeTouched = false
    }
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#child?.kill('SIGKILL')
  }
}
