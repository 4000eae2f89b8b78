import type { ConnectionRecord, NodeEventOf } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import { isAway } from '../store/transactions.ts'
import { TokenBuckets } from '../teams/token-bucket.ts'
import type { EgressCounters } from './counters.ts'
import { type EgressRow, toRow } from './record-row.ts'
import type { EgressRepository } from './repository.ts'

/** Records that wait for the database; further ones are dropped. */
const MAX_QUEUED = 10_000
/** SQLite works in this process: other requests are served between batches. */
const BATCH = 100
/** Records of one sandbox: a burst, and what is taken afterwards. Sandboxes that make more do not fill the database. */
const SANDBOX_BURST = 10_000
const SANDBOX_PER_SECOND = 100
const REPORT_INTERVAL_MS = 60_000
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 30_000
/** Attempts to insert a batch that the database refuses although it answers, e.g. because the disk is full. */
const MAX_REFUSALS = 10

export interface EgressRecorderOptions {
  repository: EgressRepository
  counters: EgressCounters
  /** Called with what was inserted. */
  onInserted: (rows: readonly EgressRow[]) => void
  logger: Logger
  now: () => number
}

/**
 * Writes records of connections to the database, off the path of everything else: nobody waits for a record, and a
 * database that is away or slow costs records instead of memory.
 */
export class EgressRecorder {
  readonly #options: EgressRecorderOptions
  readonly #queue: EgressRow[] = []
  readonly #rates: TokenBuckets
  #flushing: Promise<void> | undefined
  #isFailing = false
  #dropped = 0
  #droppedByNode = 0
  #reportedAtMs = Number.NEGATIVE_INFINITY
  #retryMs = FIRST_RETRY_MS
  #refusals = 0
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: EgressRecorderOptions) {
    this.#options = options
    this.#rates = new TokenBuckets(options.now)
  }

  receive({ records, dropped }: NodeEventOf<'connections'>): void {
    for (const record of records) this.#add(record)
    if (dropped > 0) this.#reportDropped(dropped)
    this.#flushSoon()
  }

  #reportDropped(count: number): void {
    const { logger, now } = this.#options
    this.#droppedByNode += count
    if (now() - this.#reportedAtMs < REPORT_INTERVAL_MS) return
    logger.warn({ dropped: this.#droppedByNode }, 'the node dropped records of connections')
    this.#reportedAtMs = now()
    this.#droppedByNode = 0
  }

  #add(record: ConnectionRecord): void {
    const { counters, now } = this.#options
    counters.add(record)
    const isFull = this.#queue.length >= MAX_QUEUED
    if (isFull || this.#rates.take(record.sandboxId, SANDBOX_PER_SECOND, SANDBOX_BURST) > 0) {
      counters.drop(record.teamId)
      this.#dropped++
      return
    }
    this.#queue.push(toRow(record, now()))
  }

  #flushSoon(): void {
    if (this.#flushing || this.#retry || this.#isClosed || this.#queue.length === 0) return
    this.#flushing = this.#flush().finally(() => {
      this.#flushing = undefined
    })
  }

  async #flush(): Promise<void> {
    const { repository, onInserted, logger } = this.#options
    while (this.#queue.length > 0 && !this.#isClosed) {
      const rows = this.#queue.slice(0, BATCH)
      try {
        await repository.insert(rows)
      } catch (err) {
        this.#fail(err)
        return
      }
      this.#queue.splice(0, rows.length)
      this.#refusals = 0
      this.#retryMs = FIRST_RETRY_MS
      if (this.#isFailing) {
        logger.info({ dropped: this.#dropped }, 'records of connections are stored again')
        this.#isFailing = false
        this.#dropped = 0
      }
      onInserted(rows)
      await new Promise(setImmediate)
    }
  }

  #fail(err: unknown): void {
    if (!this.#isFailing)
      this.#options.logger.warn({ err }, 'records of connections are not stored; retrying')
    this.#isFailing = true
    if (!isAway(err) && ++this.#refusals >= MAX_REFUSALS) {
      this.#refusals = 0
      for (const { team_id } of this.#queue.splice(0, BATCH)) {
        this.#options.counters.drop(team_id)
        this.#dropped++
      }
    }
    if (this.#isClosed) return
    this.#retry = setTimeout(() => {
      this.#retry = undefined
      this.#flushSoon()
    }, this.#retryMs)
    this.#retry.unref()
    this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
  }

  /** Writes what is queued if the database answers, and stops. */
  async close(): Promise<void> {
    clearTimeout(this.#retry)
    if (!this.#isFailing) await (this.#flushing ?? this.#flush())
    this.#isClosed = true
  }
}
