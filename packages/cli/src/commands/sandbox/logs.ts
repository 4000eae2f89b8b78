import { setTimeout as sleep } from 'node:timers/promises'
import { Command, Option } from 'commander'
import { type Format, longFormatOption } from '../../options/format.ts'
import { isAtLeast, type LogLevel, logLevelOption } from '../../options/log-level.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { formatLogLine, type LogLine, readLogLine } from '../../output/log-line.ts'
import { print } from '../../output/out.ts'

/** Interval between requests of --follow. */
const FOLLOW_INTERVAL_MS = 400
/** Maximum number of lines that the server returns for one request. */
const PAGE_LINES = 1000

export const logs = (): Command =>
  new Command('logs')
    .description('show logs for sandbox')
    .addArgument(sandboxIdArgument('show logs for sandbox specified by <sandboxID>'))
    .addOption(logLevelOption())
    .addOption(new Option('-f, --follow', 'keep streaming logs until the sandbox is closed'))
    .addOption(longFormatOption())
    .addOption(
      new Option(
        '--loggers [loggers]',
        'show only these loggers and those below them, separated by commas',
      ).argParser((text) => text.split(',').map((name) => name.trim())),
    )
    .addHelpText(
      'after',
      `
Examples:
  e2b sandbox logs i0lf5glwo7abo25de80rz
  e2b sandbox logs i0lf5glwo7abo25de80rz --follow --level WARN
  e2b sandbox logs i0lf5glwo7abo25de80rz --format json | jq .msg`,
    )
    .action(run)

interface Flags {
  level: LogLevel
  follow?: boolean
  format: Format
  loggers?: string[] | true
}

async function run(sandboxId: string, { level, follow, format, loggers }: Flags): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { apiOf, dataOf } = await import('../../account/api.ts')
  const { orMissing } = await import('../../account/missing.ts')
  const connection = await connect()
  const api = apiOf(connection)
  const isRunning = async (): Promise<boolean> => {
    const found = await connection.sdk.Sandbox.getInfo(sandboxId, connection.opts).catch(() => undefined)
    return found?.state === 'running'
  }
  // Logs outlive their sandbox, so an unknown sandbox is an error only without logs.
  const read = async (start?: number): Promise<LogLine[]> => {
    const query = { limit: PAGE_LINES, ...(start !== undefined && { start }) }
    const answer = await api.GET('/sandboxes/{sandboxID}/logs', {
      params: { path: { sandboxID: sandboxId }, query },
    })
    if (answer.response.status === 404)
      await orMissing(sandboxId, connection.sdk.Sandbox.getInfo(sandboxId, connection.opts))
    return dataOf(answer).logs.map(readLogLine)
  }
  const wanted = (line: LogLine): boolean =>
    isAtLeast(line.level, level) &&
    (!Array.isArray(loggers) || loggers.some((name) => isOfLogger(line.logger, name)))

  let page = await read()
  if (format === 'pretty') await print(`\nLogs for sandbox ${sandboxId}:\n`)
  const seen = new SeenLines()
  for (;;) {
    const fresh = page.filter((line) => seen.isNew(line))
    for (const line of fresh) if (wanted(line)) await print(formatLogLine(line, format))
    // A full page means that more lines follow.
    if (page.length >= PAGE_LINES && fresh.length > 0) page = await read(seen.since)
    else {
      if (!follow) return
      const isOver = !(await isRunning())
      if (!isOver) await sleep(FOLLOW_INTERVAL_MS)
      page = await read(seen.since)
      if (isOver && !page.some((line) => seen.isUnseen(line))) {
        if (format === 'pretty') await print('\nStopped printing logs. Sandbox is closed.')
        return
      }
    }
  }
}

/** Whether a logger matches: `a.b` also matches `a`. */
const isOfLogger = (logger: string, name: string): boolean => logger === name || logger.startsWith(`${name}.`)

/** Leaves out lines that were shown already: `start` is inclusive, so lines of the last millisecond are returned again. */
class SeenLines {
  since: number | undefined
  #ofLastMoment = new Set<string>()

  isUnseen(line: LogLine): boolean {
    const time = line.timestamp.getTime()
    return (
      this.since === undefined ||
      time > this.since ||
      (time === this.since && !this.#ofLastMoment.has(line.raw))
    )
  }

  isNew(line: LogLine): boolean {
    if (!this.isUnseen(line)) return false
    const time = line.timestamp.getTime()
    if (time !== this.since) this.#ofLastMoment.clear()
    this.since = time
    this.#ofLastMoment.add(line.raw)
    return true
  }
}
