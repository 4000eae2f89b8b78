import { builtinModule, environmentVariable } from '../http/runtime.ts'
import { type LogEntry, LogEntryEnd, type LogEntryLevel, LogEntryStart } from './log-entry.ts'

const LEVELS: LogEntryLevel[] = ['debug', 'info', 'warn', 'error']
/** SGR colour of each level: grey, cyan, yellow, red. */
const COLOURS: Record<LogEntryLevel, number> = { debug: 90, info: 36, warn: 33, error: 31 }
const SPINNER = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'
const FRAME_MS = 100

/** Output of the logger. On a terminal, the last line shows that the build is still running. */
export interface LogOutput {
  writeLine(line: string): void
  /** Writes without a line break. Undefined if the output is not a terminal. */
  rewrite?(text: string): void
  hasColours: boolean
}

/**
 * Prints the log of a build: seconds since its start, time, level, and message of each entry. On a terminal, adds
 * colours (unless `NO_COLOR` is set) and a running clock; the output in pipes and browsers is plain.
 *
 * @param options `minLevel`: the least important level that is printed, `info` by default
 * @example
 * ```ts
 * await Template.build(template, 'my-app', { onBuildLogs: defaultBuildLogger({ minLevel: 'debug' }) })
 * ```
 */
export function defaultBuildLogger(options: { minLevel?: LogEntryLevel } = {}): (logEntry: LogEntry) => void {
  return buildLogger(standardOutput(), options.minLevel ?? 'info', Date.now)
}

/** @param now current time in milliseconds */
export function buildLogger(
  output: LogOutput,
  minLevel: LogEntryLevel,
  now: () => number,
): (logEntry: LogEntry) => void {
  let startedAt = now()
  let frame = 0
  let clock: ReturnType<typeof setInterval> | undefined
  const elapsed = () => `${((now() - startedAt) / 1000).toFixed(1)}s`
  const colour = (code: number, text: string) =>
    output.hasColours ? `\u001b[${code}m${text}\u001b[0m` : text
  const clearClock = () => clock && output.rewrite?.('\r\u001b[2K')
  const showClock = () =>
    output.rewrite?.(`\r\u001b[2K${SPINNER[frame++ % SPINNER.length]} Building ${elapsed()}`)

  return (entry) => {
    if (entry instanceof LogEntryStart) {
      startedAt = now()
      if (output.rewrite && !clock) {
        clock = setInterval(showClock, FRAME_MS)
        // The clock must not keep the process alive.
        ;(clock as { unref?: () => void }).unref?.()
        showClock()
      }
      return
    }
    if (entry instanceof LogEntryEnd) {
      clearClock()
      clearInterval(clock)
      clock = undefined
      return
    }
    if (LEVELS.indexOf(entry.level) < LEVELS.indexOf(minLevel)) return
    clearClock()
    const level = colour(COLOURS[entry.level], entry.level.toUpperCase().padEnd(5))
    const time = colour(2, entry.timestamp.toTimeString().slice(0, 8))
    output.writeLine(`${elapsed().padEnd(6)}| ${time} ${level} ${entry.message.trimEnd()}`)
    if (clock) showClock()
  }
}

function standardOutput(): LogOutput {
  const { stdout } = builtinModule<typeof import('node:process')>('node:process') ?? {}
  const isTerminal = stdout?.isTTY === true
  return {
    writeLine: (line) => console.log(line),
    rewrite: isTerminal ? (text) => void stdout.write(text) : undefined,
    hasColours: environmentVariable('FORCE_COLOR')
      ? environmentVariable('FORCE_COLOR') !== '0'
      : isTerminal && !environmentVariable('NO_COLOR'),
  }
}
