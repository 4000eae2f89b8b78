import { SandlotError } from '@sandlot/protocol'
import type { BuildResources } from '@sandlot/protocol/node'
import type { Team } from './team.ts'
import { type RateState, TokenBuckets } from './token-bucket.ts'

/** What holds where a plan says nothing. */
export const DEFAULT_LIMITS = {
  /** Of all keys of a team together, four times as many in one go: a fraction of what the server answers a second. */
  requestsPerSecond: 500,
  /** The same for one route: a program that floods it leaves the others of its team something. */
  requestsPerSecondOfRoute: 400,
  unfinishedBuilds: 100,
  /** Of all templates and snapshots, in whatever state. */
  builds: 5_000,
  /** API keys, those of sign-ins and access tokens included. */
  apiKeys: 1_000,
  /** At a time. */
  diffs: 2,
  /** At a time: the machine that is rolled back goes when the one that takes its place is there. */
  rollbacks: 2,
  /** Archives kept for COPY steps. */
  uploads: 2_000,
  /** Bytes of them, as a share of the disk. */
  uploadShare: 0.25,
}
const REQUEST_BURST_SECONDS = 4
/** Each of the two checkpoints is read by a machine. */
const DIFF_MACHINES = 2
const MiB = 2 ** 20

export interface TeamLimitsOptions {
  /** Sandboxes of a team that take a place: those that run or are being started. */
  runningOf: (teamId: string) => number
  /** The most that one sandbox can have on this machine. */
  capacity: () => BuildResources
  now: () => number
}

/** How much of the archives for COPY steps a team may keep. */
export interface UploadLimits {
  count: number
  bytes: number
}

/**
 * Every limit of a team, whoever asks: routes, the edge, builds, deadlines. Where a plan says nothing, the machine does;
 * no plan gives more than the machine has. Bytes of checkpoints are counted in `sandboxes/storage.ts`.
 */
export class TeamLimits {
  readonly #options: TeamLimitsOptions
  readonly #requests: TokenBuckets
  readonly #routes: TokenBuckets
  readonly #creates: TokenBuckets
  readonly #machines = new Reservations()
  readonly #diffs = new Reservations()
  readonly #rollbacks = new Reservations()

  constructor(options: TeamLimitsOptions) {
    this.#options = options
    this.#requests = new TokenBuckets(options.now)
    this.#routes = new TokenBuckets(options.now)
    this.#creates = new TokenBuckets(options.now)
  }

  /**
   * A plan limits each key or session by itself; all of a team together have a limit of the machine, or keys without
   * number would be requests without number.
   * @param route of the API, as `GET /sandboxes/:id`
   * @returns the limit that is nearest; the first that is reached stops the count
   */
  countRequest({ teamId, plan }: Team, credentialId: string, route: string): RateState {
    const { requestsPerSecond, requestsPerSecondOfRoute } = DEFAULT_LIMITS
    const counts = [
      () => this.#routes.count(`${teamId} ${route}`, ...withBurst(requestsPerSecondOfRoute)),
      () => this.#requests.count(`team ${teamId}`, ...withBurst(requestsPerSecond)),
    ]
    const ofPlan = plan.requestsPerSecond
    if (ofPlan !== null) counts.unshift(() => this.#requests.count(credentialId, ofPlan))
    let nearest: RateState | undefined
    for (const count of counts) {
      const state = count()
      if (state.waitSeconds > 0) return state
      if (!nearest || state.remaining < nearest.remaining) nearest = state
    }
    return nearest!
  }

  /**
   * Counts sandboxes that a create or a fork is about to make. A fork of more than the plan allows in one go waits until
   * the plan allows no more, and later creates wait for its excess.
   * @throws SandlotError rate_limited
   */
  checkCreateRate({ teamId, plan: { createsPerSecond } }: Team, count = 1): void {
    if (createsPerSecond === null) return
    const waitSeconds = this.#creates.takeMany(teamId, createsPerSecond, count)
    throwWhenEmpty(waitSeconds, 'new sandboxes', createsPerSecond)
  }

  /** @throws SandlotError invalid_request */
  checkLength({ plan: { maxLengthHours } }: Team, seconds: number): void {
    if (maxLengthHours !== null && seconds > maxLengthHours * 3600)
      throw new SandlotError('invalid_request', `Timeout cannot be greater than ${maxLengthHours} hours`)
  }

  /**
   * For every machine that is started for a team, whatever for. Those that are being made count like those that run,
   * or a burst would pass the limit.
   * @returns gives the places back, once however often it is called: in the same breath as a sandbox enters the registry
   * @throws SandlotError quota_exceeded
   */
  reserve(team: Team, count = 1): () => void {
    this.#checkPlaces(team, count)
    return this.#machines.add(team.teamId, count)
  }

  /** Whether a machine could be reserved now. @throws SandlotError quota_exceeded */
  checkReservable(team: Team): void {
    this.#checkPlaces(team, 1)
  }

  #checkPlaces({ teamId, name, plan }: Team, count: number): void {
    const limit = plan.concurrentSandboxes
    const used = this.#options.runningOf(teamId) + this.#machines.of(teamId)
    if (limit !== null && used + count > limit)
      throw new SandlotError(
        'quota_exceeded',
        `team '${name}' already runs ${used} sandboxes, its plan allows ${limit}; kill one first`,
      )
  }

  /** @param count how many the team has already @throws SandlotError quota_exceeded */
  checkApiKeys({ name }: Team, count: number): void {
    if (count >= DEFAULT_LIMITS.apiKeys)
      throw new SandlotError(
        'quota_exceeded',
        `team '${name}' has ${count} API keys, ${DEFAULT_LIMITS.apiKeys} are allowed: delete some`,
      )
  }

  /** A diff with the machines that read for it. @returns gives them back @throws SandlotError rate_limited, quota_exceeded */
  reserveDiff(team: Team): () => void {
    const { teamId, name, plan } = team
    const limit = plan.diffs ?? DEFAULT_LIMITS.diffs
    const used = this.#diffs.of(teamId)
    if (used >= limit)
      throw new SandlotError(
        'rate_limited',
        `${used} diffs of team '${name}' are being made, ${limit} at a time are allowed: try again when one is done`,
        { retryAfterSeconds: 2 },
      )
    const releaseMachines = this.reserve(team, DIFF_MACHINES)
    const releaseDiff = this.#diffs.add(teamId, 1)
    return () => {
      releaseMachines()
      releaseDiff()
    }
  }

  /**
   * The machine that takes the place of a sandbox's own. A team at its limit of sandboxes may roll back, too.
   * @returns gives it back @throws SandlotError rate_limited
   */
  reserveRollback({ teamId, name }: Team): () => void {
    const used = this.#rollbacks.of(teamId)
    if (used >= DEFAULT_LIMITS.rollbacks)
      throw new SandlotError(
        'rate_limited',
        `${used} sandboxes of team '${name}' are being rolled back, ${DEFAULT_LIMITS.rollbacks} at a time are allowed: try again when one is done`,
        { retryAfterSeconds: 1 },
      )
    return this.#rollbacks.add(teamId, 1)
  }

  /**
   * @param counts how many the team has already, and how many of them are not finished
   * @throws SandlotError quota_exceeded
   */
  checkBuilds({ name, plan }: Team, { all, unfinished: count }: { all: number; unfinished: number }): void {
    if (all >= DEFAULT_LIMITS.builds)
      throw new SandlotError(
        'quota_exceeded',
        `team '${name}' has ${all} builds and snapshots, ${DEFAULT_LIMITS.builds} are allowed: delete templates`,
      )
    const limit = plan.unfinishedBuilds ?? DEFAULT_LIMITS.unfinishedBuilds
    if (count >= limit)
      throw new SandlotError(
        'quota_exceeded',
        `${count} builds of team '${name}' are not finished, ${limit} are allowed: wait for them, or delete their templates`,
      )
  }

  /** What a build asks for. @throws SandlotError invalid_request naming the value and the limit */
  checkBuild({ plan }: Team, asked: BuildResources): void {
    const machine = this.#options.capacity()
    const check = (what: string, value: number, unit: string, ofPlan: number | null, ofMachine: number) => {
      const limit = Math.min(ofPlan ?? ofMachine, ofMachine)
      if (value <= limit) return
      const whose = limit === ofMachine ? 'this machine has' : 'your plan allows'
      throw new SandlotError(
        'invalid_request',
        `${what} is ${value}${unit}, ${whose} at most ${limit}${unit}`,
      )
    }
    check('cpuCount', asked.cpuCount, '', plan.cpuCount, machine.cpuCount)
    check('memoryMB', asked.memoryMB, ' MB', plan.memoryMB, machine.memoryMB)
    check('the disk', asked.diskSizeMB, ' MB', plan.diskSizeMB, machine.diskSizeMB)
  }

  /** A sandbox of a template that another team may have built. @throws SandlotError invalid_request */
  checkSandbox({ plan }: Team, build: BuildResources): void {
    const check = (what: string, value: number, limit: number | null) => {
      if (limit !== null && value > limit)
        throw new SandlotError(
          'invalid_request',
          `this template has ${value} ${what}, your plan allows ${limit}`,
        )
    }
    check('CPUs', build.cpuCount, plan.cpuCount)
    check('MB of memory', build.memoryMB, plan.memoryMB)
    check('MB of disk', build.diskSizeMB, plan.diskSizeMB)
  }

  /** Of archives for COPY steps; they count in the storage of a plan, too. */
  uploads({ plan }: Team): UploadLimits {
    const diskBytes = this.#options.capacity().diskSizeMB * MiB
    const bytes = Math.floor(diskBytes * DEFAULT_LIMITS.uploadShare)
    const limits = [
      plan.uploadMB === null ? bytes : plan.uploadMB * MiB,
      ...(plan.storageMB === null ? [] : [plan.storageMB * MiB]),
    ]
    return { count: plan.uploads ?? DEFAULT_LIMITS.uploads, bytes: Math.min(...limits) }
  }
}

/** What teams hold at this moment. */
class Reservations {
  readonly #held = new Map<string, number>()

  of(teamId: string): number {
    return this.#held.get(teamId) ?? 0
  }

  /** @returns gives it back, once however often it is called */
  add(teamId: string, count: number): () => void {
    this.#held.set(teamId, this.of(teamId) + count)
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      const left = this.of(teamId) - count
      if (left > 0) this.#held.set(teamId, left)
      else this.#held.delete(teamId)
    }
  }
}

const withBurst = (perSecond: number): [perSecond: number, burst: number] => [
  perSecond,
  perSecond * REQUEST_BURST_SECONDS,
]

function throwWhenEmpty(waitSeconds: number, what: string, perSecond: number): void {
  if (waitSeconds > 0)
    throw new SandlotError('rate_limited', `too many ${what}: the plan allows ${perSecond} a second`, {
      retryAfterSeconds: waitSeconds,
    })
}
