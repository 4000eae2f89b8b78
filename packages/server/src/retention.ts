import { DAY_MS, HOUR_MS } from '@sandlot/protocol'
import type { Logger } from 'pino'
import type { BuildLogs } from './builds/logs.ts'
import type { EgressService } from './egress/service.ts'
import type { EventRepository } from './events/repository.ts'
import type { Idempotency } from './idempotency/service.ts'
import type { MetricsRepository } from './metrics/repository.ts'
import type { SandboxRepository } from './sandboxes/repository.ts'
import type { SessionService } from './sessions/service.ts'
import { TEAM_LIMITS } from './teams/limits.ts'
import type { Uploads } from './uploads/service.ts'
import type { VolumeService } from './volumes/service.ts'

const INTERVAL_MS = 60_000
const MAX_BATCHES = 50

/** How long metrics are kept; those of killed sandboxes are kept for an hour. */
const METRICS_MS = DAY_MS
const KILLED_METRICS_MS = HOUR_MS
/** Default for events, and for the rows of killed sandboxes. */
const SANDBOXES_MS = 7 * DAY_MS

export interface RetentionOptions {
  events: EventRepository
  egress: EgressService
  sandboxRows: SandboxRepository
  metricRows: MetricsRepository
  sessions: SessionService
  idempotency: Idempotency
  buildLogs: BuildLogs
  uploads: Uploads
  volumes: VolumeService
  logger: Logger
  /** How long events, records of connections and the rows of killed sandboxes are kept. Default 7 days. */
  retentionMs?: number
  now: () => number
}

/** Deletes rows and files every minute that are too old, or more than a team may keep (`teams/limits.ts`). */
export class Retention {
  readonly #options: RetentionOptions
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(
      () => this.#prune().catch((err) => this.#options.logger.warn({ err }, 'old rows were not deleted')),
      INTERVAL_MS,
    )
    this.#timer.unref()
  }

  /** Stops deleting. Does not wait: a running batch ends before the database is closed. */
  close(): void {
    clearInterval(this.#timer)
    this.#isClosed = true
  }

  /** Deletes in small batches, so that requests do not have to wait for the database. */
  async #prune(): Promise<void> {
    const {
      events,
      egress,
      sandboxRows,
      metricRows,
      sessions,
      idempotency,
      buildLogs,
      uploads,
      volumes,
      now,
    } = this.#options
    const beforeMs = now() - (this.#options.retentionMs ?? SANDBOXES_MS)
    for (const pruneBatch of [
      // before the rows of sandboxes, which contain the metadata of events
      () => events.prune(beforeMs),
      () => events.pruneTeams(TEAM_LIMITS.events),
      () => egress.prune(beforeMs),
      () => egress.trim(),
      () => sandboxRows.prune(beforeMs),
      () => metricRows.prune(now() - METRICS_MS),
      () => metricRows.pruneKilled(now() - KILLED_METRICS_MS),
      () => sessions.prune(),
      () => idempotency.prune(),
      () => volumes.prune(),
      () => buildLogs.prune(TEAM_LIMITS.buildLogs),
    ])
      for (let batch = 0; batch < MAX_BATCHES && !this.#isClosed && (await pruneBatch()) > 0; batch++)
        await new Promise(setImmediate)
    await uploads.prune()
  }
}
