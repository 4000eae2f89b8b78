import type { Store } from '../store/open-store.ts'
import { TEAM_LIMITS } from '../teams/limits.ts'

const levels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof levels)[number]

export interface BuildLogEntry {
  timestampMs: number
  level: LogLevel
  message: string
  step?: string
}

const FLUSH_INTERVAL_MS = 500
const ROWS_PER_INSERT = 100
const PRUNE_BATCH = 10
/** Errors are logged even when the log is full. */
const MAX_ENTRIES_WITH_ERRORS = 2 * TEAM_LIMITS.buildLogLines

interface OpenLog {
  entries: BuildLogEntry[]
  stored: number
  bytes: number
  timer?: NodeJS.Timeout
  flushing: Promise<void>
}

/** Logs of builds: in memory while a build runs, in the database for as long as the build exists. */
export class BuildLogs {
  readonly #store: Store
  readonly #now: () => number
  readonly #onError: (error: unknown) => void
  readonly #open = new Map<string, OpenLog>()

  constructor(store: Store, now: () => number, onError: (error: unknown) => void) {
    this.#store = store
    this.#now = now
    this.#onError = onError
  }

  add(buildId: string, entry: Omit<BuildLogEntry, 'timestampMs'>): void {
    let log = this.#open.get(buildId)
    if (!log) {
      log = { entries: [], stored: 0, bytes: 0, flushing: Promise.resolve() }
      this.#open.set(buildId, log)
    }
    const isFull = log.entries.length >= TEAM_LIMITS.buildLogLines || log.bytes >= TEAM_LIMITS.buildLogBytes
    // errors are logged even when the log is full, because they say how the build ended
    if (isFull && entry.level !== 'error') return
    log.bytes += entry.message.length
    log.entries.push({ ...entry, timestampMs: this.#now() })
    const isLast = log.entries.length === TEAM_LIMITS.buildLogLines || log.bytes >= TEAM_LIMITS.buildLogBytes
    if (isLast && entry.level !== 'error')
      log.entries.push({
        timestampMs: this.#now(),
        level: 'warn',
        message: `the log is full (${TEAM_LIMITS.buildLogLines} lines or ${TEAM_LIMITS.buildLogBytes / 2 ** 20} MB): what follows is left out`,
      })
    log.timer ??= setTimeout(() => this.#flush(buildId, log).catch(this.#onError), FLUSH_INTERVAL_MS)
  }

  /** Stores the entries that are not stored yet; from then on the log is read from the database. */
  async close(buildId: string): Promise<void> {
    const log = this.#open.get(buildId)
    if (!log) return
    await this.#flush(buildId, log)
    this.#open.delete(buildId)
  }

  /**
   * Deletes a batch of the oldest logs of finished builds.
   * @param keep number of logs that each team keeps
   * @returns how many logs were deleted
   */
  async prune(keep: number): Promise<number> {
    let count = 0
    for (const { id } of await this.#store.selectFrom('teams').select('id').execute()) {
      const older = await this.#store
        .selectFrom('builds')
        .innerJoin('templates', 'templates.id', 'builds.template_id')
        .select('builds.id')
        .where('templates.team_id', '=', id)
        .where('builds.finished_at', 'is not', null)
        .where(({ exists, selectFrom }) =>
          exists(selectFrom('build_logs').select('sequence').whereRef('build_id', '=', 'builds.id')),
        )
        .orderBy('builds.finished_at', 'desc')
        .offset(keep)
        .limit(PRUNE_BATCH)
        .execute()
      const ids = older.map((build) => build.id)
      if (ids.length > 0) await this.#store.deleteFrom('build_logs').where('build_id', 'in', ids).execute()
      count += ids.length
    }
    return count
  }

  /** @param level the least severe level that is returned */
  async read(
    buildId: string,
    offset: number,
    limit: number,
    level: LogLevel = 'debug',
  ): Promise<BuildLogEntry[]> {
    const wanted = levels.slice(levels.indexOf(level))
    const open = this.#open.get(buildId)
    if (open)
      return open.entries.filter((entry) => wanted.includes(entry.level)).slice(offset, offset + limit)
    const rows = await this.#store
      .selectFrom('build_logs')
      .selectAll()
      .where('build_id', '=', buildId)
      .where('level', 'in', wanted)
      .orderBy('sequence')
      // databases refuse numbers of more than 64 bits
      .offset(Math.min(offset, MAX_ENTRIES_WITH_ERRORS))
      .limit(limit)
      .execute()
    return rows.map(toEntry)
  }

  /** @param query.fromMs time of the first entry; when `isBackward`, of the newest */
  async page(
    buildId: string,
    query: { fromMs?: number; limit: number; isBackward: boolean; level?: LogLevel },
  ): Promise<BuildLogEntry[]> {
    const { fromMs, limit, isBackward, level } = query
    const all = await this.read(buildId, 0, MAX_ENTRIES_WITH_ERRORS, level)
    const ordered = isBackward ? all.reverse() : all
    const isWanted = ({ timestampMs }: BuildLogEntry) =>
      fromMs === undefined || (isBackward ? timestampMs <= fromMs : timestampMs >= fromMs)
    return ordered.filter(isWanted).slice(0, limit)
  }

  #flush(buildId: string, log: OpenLog): Promise<void> {
    clearTimeout(log.timer)
    log.timer = undefined
    log.flushing = log.flushing
      .catch(() => {})
      .then(async () => {
        while (log.stored < log.entries.length) {
          const batch = log.entries.slice(log.stored, log.stored + ROWS_PER_INSERT)
          const rows = batch.map(({ timestampMs, level, message, step = null }, index) => ({
            build_id: buildId,
            sequence: log.stored + index,
            timestamp: timestampMs,
            level,
            message,
            step,
          }))
          // an earlier attempt may have stored them although its answer was lost
          await this.#store
            .insertInto('build_logs')
            .values(rows)
            .onConflict((conflict) => conflict.doNothing())
            .execute()
          log.stored += batch.length
        }
      })
    return log.flushing
  }
}

const toEntry = (row: {
  timestamp: number
  level: string
  message: string
  step: string | null
}): BuildLogEntry => ({
  timestampMs: row.timestamp,
  level: row.level as LogLevel,
  message: row.message,
  step: row.step ?? undefined,
})
