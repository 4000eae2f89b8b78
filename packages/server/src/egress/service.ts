import { setTimeout as sleep } from 'node:timers/promises'
import { isSandboxId, SandlotError } from '@sandlot/protocol'
import type { NodeEventOf } from '@sandlot/protocol/node'
import { EGRESS_FOLLOW_MS, type EgressPage } from '@sandlot/protocol/rest'
import { notFound } from '../sandboxes/errors.ts'
import type { SandboxOperations } from '../sandboxes/operations.ts'
import { TEAM_LIMITS } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import { EgressCounters } from './counters.ts'
import type { EgressRow } from './record-row.ts'
import { EgressRecorder } from './recorder.ts'
import { type EgressQuery, type EgressRepository, type FoundRecords, PRUNE_BATCH } from './repository.ts'

/** Records that are kept. */
const MAX_OF_SANDBOX = 10_000
const MAX_OF_ALL = 1_000_000
/** Inserted records after which the limit of a sandbox or team is checked. */
const CHECK_EVERY = 1_000
/** Least time between two reads of a request that waits. */
const REREAD_INTERVAL_MS = 200
/** Requests that wait for records, of all teams. */
const MAX_FOLLOWERS = 2_000

export type EgressFilter = Omit<EgressQuery, 'teamId' | 'sandboxId'> & {
  /** Waits for a record when there is none. */
  follow: boolean
}

interface Follower {
  teamId: string
  wake: () => void
}

/** Where sandboxes connected to: kept for a while, listed, followed and counted. */
export class EgressService {
  readonly #operations: SandboxOperations
  readonly #repository: EgressRepository
  readonly #counters = new EgressCounters()
  readonly #recorder: EgressRecorder
  readonly #followers = new Map<string, Set<Follower>>()
  /** Number of records since the last check of a limit, by sandbox and by team. */
  readonly #added = { sandbox_id: new Map<string, number>(), team_id: new Map<string, number>() }
  #isDraining = false

  constructor(operations: SandboxOperations, repository: EgressRepository) {
    const { logger, now } = operations
    this.#operations = operations
    this.#repository = repository
    const onInserted = (rows: readonly EgressRow[]) => this.#onInserted(rows)
    this.#recorder = new EgressRecorder({ repository, counters: this.#counters, onInserted, logger, now })
  }

  countRefused({ refused }: NodeEventOf<'connectionLimit'>): void {
    for (const { teamId, packets } of refused) this.#counters.addBeyondLimit(teamId, packets)
  }

  receive(event: NodeEventOf<'connections'>): void {
    this.#recorder.receive(event)
  }

  #onInserted(rows: readonly EgressRow[]): void {
    for (const row of rows)
      for (const column of ['sandbox_id', 'team_id'] as const) {
        const added = this.#added[column]
        added.set(row[column], (added.get(row[column]) ?? 0) + 1)
      }
    for (const sandboxId of new Set(rows.map(({ sandbox_id }) => sandbox_id)))
      for (const { wake } of this.#followers.get(sandboxId) ?? []) wake()
  }

  /**
   * Lists records of a sandbox that exists or has ended.
   * @param signal ends the wait of `follow`
   * @throws SandlotError not_found, rate_limited: too many requests wait for records
   */
  async list(
    team: Team,
    sandboxId: string,
    { follow, ...filter }: EgressFilter,
    signal: AbortSignal,
  ): Promise<EgressPage> {
    const { teamId } = team
    const isKnown =
      isSandboxId(sandboxId) &&
      (this.#operations.find(team, sandboxId) !== undefined ||
        (await this.#repository.hasSandbox(teamId, sandboxId)))
    if (!isKnown) throw notFound(sandboxId)
    const read = (after = filter.after) => this.#repository.list({ teamId, sandboxId, ...filter, after })
    const {
      records,
      last = filter.after ?? 0,
      hasMore,
    } = follow ? await this.#readOrWait({ teamId, sandboxId, signal }, read) : await read()
    return { records, nextCursor: String(last), hasMore }
  }

  /** @param read reads what is behind a record, by default behind the one that the request names */
  async #readOrWait(
    { teamId, sandboxId, signal }: { teamId: string; sandboxId: string; signal: AbortSignal },
    read: (after?: number) => Promise<FoundRecords>,
  ): Promise<FoundRecords> {
    this.#checkFollowers(teamId)
    const deadline = performance.now() + EGRESS_FOLLOW_MS
    let arrived = Promise.withResolvers<void>()
    const follower: Follower = { teamId, wake: () => arrived.resolve() }
    const followers = this.#followers.get(sandboxId) ?? new Set()
    this.#followers.set(sandboxId, followers.add(follower))
    const timer = setTimeout(follower.wake, EGRESS_FOLLOW_MS)
    signal.addEventListener('abort', follower.wake)
    try {
      for (let after: number | undefined; ; ) {
        // what a filter leaves out is read once, however often new records arrive
        const newest = await this.#repository.newestOf(sandboxId)
        const found = await read(after)
        const isOver = signal.aborted || this.#isDraining || performance.now() >= deadline
        if (found.records.length > 0 || isOver) return { ...found, last: found.last ?? newest }
        after = newest
        await arrived.promise
        arrived = Promise.withResolvers<void>()
        await sleep(REREAD_INTERVAL_MS)
      }
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', follower.wake)
      followers.delete(follower)
      if (followers.size === 0) this.#followers.delete(sandboxId)
    }
  }

  #checkFollowers(teamId: string): void {
    const all = [...this.#followers.values()].flatMap((followers) => [...followers])
    const ofTeam = all.filter((follower) => follower.teamId === teamId).length
    if (ofTeam < TEAM_LIMITS.egressFollowers && all.length < MAX_FOLLOWERS) return
    throw new SandlotError(
      'rate_limited',
      `${ofTeam} requests of this team wait for connections of sandboxes already, at most ${TEAM_LIMITS.egressFollowers} may: leave follow out`,
      { retryAfterSeconds: EGRESS_FOLLOW_MS / 1000 },
    )
  }

  /** Counters of a team in the text format of Prometheus. */
  describeCounters({ teamId }: Team): string {
    return this.#counters.describe(teamId)
  }

  /** Deletes a batch of records older than `beforeMs`. @returns how many */
  prune(beforeMs: number): Promise<number> {
    return this.#repository.prune(beforeMs)
  }

  /** Deletes a batch of the oldest records that are more than a sandbox, a team or the server keeps. @returns how many */
  async trim(): Promise<number> {
    const ofSandboxes = await this.#trimEach('sandbox_id', MAX_OF_SANDBOX)
    const ofTeams = await this.#trimEach('team_id', TEAM_LIMITS.egressRecords)
    return ofSandboxes + ofTeams + (await this.#repository.trimAll(MAX_OF_ALL))
  }

  async #trimEach(column: 'sandbox_id' | 'team_id', keep: number): Promise<number> {
    const added = this.#added[column]
    let deleted = 0
    for (const [id, count] of added) {
      const isOver = column === 'sandbox_id' && this.#operations.registry.get(id) === undefined
      if (count < CHECK_EVERY && !isOver) continue
      const batch = await this.#repository.trim(column, id, keep)
      if (batch < PRUNE_BATCH) added.delete(id)
      deleted += batch
    }
    return deleted
  }

  /** Answers all requests that wait; from now on none waits. */
  stopFollowing(): void {
    this.#isDraining = true
    for (const followers of this.#followers.values()) for (const { wake } of followers) wake()
  }

  /** Stores what is queued. */
  close(): Promise<void> {
    this.stopFollowing()
    return this.#recorder.close()
  }
}
