import { SandlotError, toFullMB, toMB } from '@sandlot/protocol'
import type { BuildResources } from '@sandlot/protocol/node'
import { Reservations } from './reservations.ts'
import type { Team } from './team.ts'
import { type RateState, TokenBuckets } from './token-bucket.ts'

/**
 * The numbers of all limits of a team. A plan (`plans.ts`) may set those that name a field of it; the numbers here hold
 * where the plan says nothing. No plan gives a sandbox more than the machine has. In brackets: the error of a request
 * that meets the limit; without one, the oldest are deleted.
 *
 * These are not limits of a team, though a team meets them too:
 * - of one request: its schema in `packages/protocol/src/rest`, such as the steps of a build and the copies of a fork
 * - of one sandbox: requests that wait for it (`../concurrency/keyed-lock.ts`), connections (a setting, docs/configuration.md)
 * - of one address without credentials: `../auth/authenticate.ts`, `../sessions`, and the edge
 * - of the machine, shared by all teams, which take turns: starts at a time (`packages/node/src/pool/warm-pool.ts`), builds at
 *   a time (`../builds/queue.ts`), 2 diffs (`packages/node/src/diff/diffs.ts`), 2 archives that are checked
 *   (`packages/node/src/images/archive-checks.ts`)
 * - of time: how long rows and files are kept (`../retention.ts`)
 */
export const TEAM_LIMITS = {
  // Rates, beside `plan.requestsPerSecond` of one API key or session and `plan.createsPerSecond` of creates and forks.

  /** Requests of all API keys of a team together, with a burst of four seconds [rate_limited]. */
  requestsPerSecond: 500,
  /**
   * Requests to one route, so that a program that floods one route leaves capacity for the team's other programs
   * [rate_limited].
   */
  requestsPerSecondOfRoute: 400,
  requestBurstSeconds: 4,

  // At a time, beside `plan.concurrentSandboxes`: machines that run, start, build or read for a diff [quota_exceeded].

  /** All of these machines but the running sandboxes: most of them wait for their start [sandbox_capacity_unavailable]. */
  pendingMachines: 2_000,
  /** Diffs, each with a machine for either checkpoint [rate_limited]. `plan.diffs`. */
  diffs: 2,
  machinesOfDiff: 2,
  /** Rollbacks: the new machine runs beside the old one until it is ready [rate_limited]. */
  rollbacks: 2,
  /** Builds that are announced, queued or running [quota_exceeded]. `plan.unfinishedBuilds`. */
  unfinishedBuilds: 100,
  /** Share of the builds that wait for a ready command, and leave their place in the queue to others meanwhile. */
  waitingBuildsShare: 0.5,

  // Kept, beside `plan.storageMB` of checkpoints and archives together [quota_exceeded].

  /** Builds of all templates, and snapshots, in whatever state [quota_exceeded]. */
  builds: 5_000,
  /** Builds of one template that failed. */
  failedBuildsOfTemplate: 20,
  /** Finished builds of one template that have lost their last tag. */
  untaggedBuildsOfTemplate: 10,
  /** Logs of finished builds. */
  buildLogs: 100,
  /** Lines and bytes of the log of one build; a build that prints more continues, but the rest is not logged. */
  buildLogLines: 20_000,
  buildLogBytes: 16 * 2 ** 20,
  /** Tags of one template, which are held in memory [invalid_request]. */
  tagsOfTemplate: 1_000,
  /** Tags of all templates, each with a history in the database [invalid_request]. */
  tags: 10_000,
  /** Archives for COPY steps [quota_exceeded]. `plan.uploads`. */
  uploads: 2_000,
  /** Bytes of these archives, as a share of the disk [quota_exceeded]. `plan.uploadMB`. */
  uploadShare: 0.25,
  /** Bytes of one archive [payload_too_large]. */
  uploadBytes: 4 * 2 ** 30,
  /** Entries of one archive, and their bytes once they are unpacked [invalid_request]. The node checks both. */
  uploadEntries: 300_000,
  uploadUnpackedBytes: 16 * 2 ** 30,
  /** Archives that the node checks at a time; the others wait. */
  uploadChecks: 1,
  /** Addresses that an archive may be sent to; a build has at most 500 steps. */
  uploadTickets: 1_000,
  /** API keys, those of sign-ins and access tokens included [quota_exceeded]. */
  apiKeys: 1_000,
  /** Records of connections of all sandboxes. */
  egressRecords: 200_000,
  /** Requests that wait for such records [rate_limited]. */
  egressFollowers: 100,
  /** Volumes, those that can be restored included [quota_exceeded]. */
  volumes: 100,
  /** Sizes of these volumes together [quota_exceeded]. `plan.volumeMB`. */
  volumesMB: 1_048_576,
  /** Size of one volume [invalid_request], and of a new one for which nothing was asked. */
  volumeMB: 1_048_576,
  defaultVolumeMB: 10_240,
  /** Requests for files of volumes at a time, transfers included: each has some files open [rate_limited]. */
  volumeRequests: 256,
  /** Secrets that exist [secret_limit_reached]. */
  secrets: 50,
  /** Checkpoints of a sandbox beside the newest and its snapshots; `PUT /sandboxes/{id}/keep` sets another number. */
  checkpointsOfSandbox: 3,
  /** Events, about 250 MB: a team that makes a sandbox every four seconds has fewer in a week. */
  events: 500_000,
  /** Answers for repeated requests with an `Idempotency-Key`, about 15 MB: clients repeat a request within minutes. */
  idempotentAnswers: 10_000,
} as const

const MiB = 2 ** 20

export interface TeamLimitsOptions {
  /** Counts a team's sandboxes that run or are being started. */
  runningOf: (teamId: string) => number
  /** The most that one sandbox can have on this machine. */
  capacity: () => BuildResources
  now: () => number
}

/** Archives for COPY steps: how many a team has or may have, and their bytes. */
export interface UploadAmount {
  count: number
  sizeBytes: number
}

/** Checks every limit of a team, for routes, services, builds and the edge alike. */
export class TeamLimits {
  readonly #options: TeamLimitsOptions
  readonly #requests: TokenBuckets
  readonly #routes: TokenBuckets
  readonly #creates: TokenBuckets
  readonly #machines = new Reservations()
  readonly #diffs = new Reservations()
  readonly #rollbacks = new Reservations()
  readonly #volumeRequests = new Reservations()

  constructor(options: TeamLimitsOptions) {
    this.#options = options
    this.#requests = new TokenBuckets(options.now)
    this.#routes = new TokenBuckets(options.now)
    this.#creates = new TokenBuckets(options.now)
  }

  /**
   * Counts a request. A plan limits each API key or session; all keys of a team together have a limit too, because a team
   * can make more keys.
   * @param route of the API, such as `GET /sandboxes/:id`
   * @returns the limit that is nearest; the count stops at the first limit that is reached
   */
  countRequest({ teamId, plan }: Team, credentialId: string, route: string): RateState {
    const { requestsPerSecond, requestsPerSecondOfRoute } = TEAM_LIMITS
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
   * Counts sandboxes that a create or a fork is about to make. A fork of more than the plan allows in one go is allowed
   * when nothing was counted for a second, and later creates wait for its excess.
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
   * Reserves machines for a team before they are started, for whatever purpose. Machines that are being started count like
   * those that run; otherwise a burst would pass the limit.
   * @returns a function that releases the places; further calls have no effect. Callers do so in the same tick in which
   * the sandbox enters the registry
   * @throws SandlotError quota_exceeded, sandbox_capacity_unavailable
   */
  reserve(team: Team, count = 1): () => void {
    this.#checkPlaces(team, count)
    this.#checkPending(team, count)
    return this.#machines.add(team.teamId, count)
  }

  /** Checks that a machine could be reserved now. @throws SandlotError quota_exceeded */
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

  #checkPending({ teamId, name }: Team, count: number): void {
    const pending = this.#machines.of(teamId)
    if (pending + count > TEAM_LIMITS.pendingMachines)
      throw new SandlotError(
        'sandbox_capacity_unavailable',
        `${pending} machines of team '${name}' are being started already; try again soon`,
        { retryAfterSeconds: 5 },
      )
  }

  /** @param count of keys that exist @throws SandlotError quota_exceeded */
  checkApiKeys({ name }: Team, count: number): void {
    if (count >= TEAM_LIMITS.apiKeys)
      throw new SandlotError(
        'quota_exceeded',
        `team '${name}' has ${count} API keys, ${TEAM_LIMITS.apiKeys} are allowed: delete some`,
      )
  }

  /** @param count of secrets that exist @throws SandlotError secret_limit_reached */
  checkSecrets({ name }: Team, count: number): void {
    if (count >= TEAM_LIMITS.secrets)
      throw new SandlotError(
        'secret_limit_reached',
        `team '${name}' has ${count} secrets, at most ${TEAM_LIMITS.secrets} live secrets are allowed: delete some`,
      )
  }

  /** @param wanted volumes that the team would have @throws SandlotError quota_exceeded */
  checkVolumes({ name, plan }: Team, wanted: { count: number; sizeBytes: number }): void {
    if (wanted.count > TEAM_LIMITS.volumes)
      throw new SandlotError(
        'quota_exceeded',
        `team '${name}' has ${wanted.count - 1} volumes, ${TEAM_LIMITS.volumes} are allowed, deleted ones included for a day: delete some`,
      )
    const limitMB = plan.volumeMB ?? TEAM_LIMITS.volumesMB
    if (wanted.sizeBytes > limitMB * MiB)
      throw new SandlotError(
        'quota_exceeded',
        `team '${name}' would have volumes of ${toFullMB(wanted.sizeBytes)} MB, its plan allows ${limitMB}: delete some, or ask for a smaller one`,
      )
  }

  /** @returns gives it back @throws SandlotError rate_limited */
  reserveVolumeRequest({ teamId, name }: Team): () => void {
    const used = this.#volumeRequests.of(teamId)
    if (used >= TEAM_LIMITS.volumeRequests)
      throw new SandlotError(
        'rate_limited',
        `${used} requests of team '${name}' work on files of volumes already: try again when some are done`,
        { retryAfterSeconds: 1 },
      )
    return this.#volumeRequests.add(teamId, 1)
  }

  /** Reserves a diff and the machines that read for it. @returns gives them back @throws SandlotError rate_limited, quota_exceeded */
  reserveDiff(team: Team): () => void {
    const { teamId, name, plan } = team
    const used = this.#diffs.of(teamId)
    if (used >= plan.diffs)
      throw new SandlotError(
        'rate_limited',
        `${used} diffs of team '${name}' are being made, ${plan.diffs} at a time are allowed: try again when one is done`,
        { retryAfterSeconds: 2 },
      )
    const releaseMachines = this.reserve(team, TEAM_LIMITS.machinesOfDiff)
    const releaseDiff = this.#diffs.add(teamId, 1)
    return () => {
      releaseMachines()
      releaseDiff()
    }
  }

  /**
   * Reserves the machine that replaces the one of a sandbox. It takes no place of a sandbox: a team at its limit may roll back.
   * @returns gives it back @throws SandlotError rate_limited
   */
  reserveRollback({ teamId, name }: Team): () => void {
    const used = this.#rollbacks.of(teamId)
    if (used >= TEAM_LIMITS.rollbacks)
      throw new SandlotError(
        'rate_limited',
        `${used} sandboxes of team '${name}' are being rolled back, ${TEAM_LIMITS.rollbacks} at a time are allowed: try again when one is done`,
        { retryAfterSeconds: 1 },
      )
    return this.#rollbacks.add(teamId, 1)
  }

  /**
   * @param counts of builds that exist, and of those that are not finished
   * @throws SandlotError quota_exceeded
   */
  checkBuilds({ name, plan }: Team, { all, unfinished: count }: { all: number; unfinished: number }): void {
    if (all >= TEAM_LIMITS.builds)
      throw new SandlotError(
        'quota_exceeded',
        `team '${name}' has ${all} builds and snapshots, ${TEAM_LIMITS.builds} are allowed: delete templates`,
      )
    if (count >= plan.unfinishedBuilds)
      throw new SandlotError(
        'quota_exceeded',
        `${count} builds of team '${name}' are not finished, ${plan.unfinishedBuilds} are allowed: wait for them, or delete their templates`,
      )
  }

  /** Checks what a new build asks for. @throws SandlotError invalid_request naming the value and the limit */
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

  /** Checks a new sandbox, whose template another team may have built. @throws SandlotError invalid_request */
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

  /**
   * Checks a new snapshot, checkpoint or archive. A pause is never refused for its size: no sandbox may be lost to a quota.
   * @param sizeBytes of the team's checkpoints and archives @throws SandlotError quota_exceeded
   */
  checkStorage({ name, plan }: Team, sizeBytes: number): void {
    if (plan.storageMB === null || sizeBytes < plan.storageMB * MiB) return
    throw new SandlotError(
      'quota_exceeded',
      `team '${name}' keeps ${toMB(sizeBytes)} MB of checkpoints and archives of builds, its plan allows ${plan.storageMB}: delete snapshots and templates, or kill paused sandboxes`,
    )
  }

  /** The archives for COPY steps that a team may keep; they count in the storage of its plan, too. */
  uploads({ plan }: Team): UploadAmount {
    const diskBytes = this.#options.capacity().diskSizeMB * MiB
    const ofUploads = plan.uploadMB === null ? diskBytes * TEAM_LIMITS.uploadShare : plan.uploadMB * MiB
    const ofStorage = plan.storageMB === null ? Number.POSITIVE_INFINITY : plan.storageMB * MiB
    return {
      count: plan.uploads,
      sizeBytes: Math.floor(Math.min(ofUploads, ofStorage)),
    }
  }

  /**
   * @param tags those of the template and of the whole team, and how many are new
   * @throws SandlotError invalid_request
   */
  checkTags({ ofTemplate, ofTeam, added }: { ofTemplate: number; ofTeam: number; added: number }): void {
    const check = (whose: string, count: number, limit: number) => {
      if (count + added > limit)
        throw new SandlotError(
          'invalid_request',
          `${whose} has ${count} tags, ${limit} are allowed: remove some`,
        )
    }
    if (added === 0) return
    check('this template', ofTemplate, TEAM_LIMITS.tagsOfTemplate)
    check('your team', ofTeam, TEAM_LIMITS.tags)
  }
}

/**
 * @param wanted archives that a team would have with a new one
 * @param limit as `TeamLimits.uploads` returned it
 * @throws SandlotError quota_exceeded
 */
export function checkUploads({ name }: Team, wanted: UploadAmount, limit: UploadAmount): void {
  if (wanted.count <= limit.count && wanted.sizeBytes <= limit.sizeBytes) return
  throw new SandlotError(
    'quota_exceeded',
    `team '${name}' has ${wanted.count} archives for COPY steps of ${toFullMB(wanted.sizeBytes)} MB with this one, ${limit.count} of ${toFullMB(limit.sizeBytes)} MB are allowed: delete templates, or wait until older ones go`,
  )
}

const withBurst = (perSecond: number): [perSecond: number, burst: number] => [
  perSecond,
  perSecond * TEAM_LIMITS.requestBurstSeconds,
]

function throwWhenEmpty(waitSeconds: number, what: string, perSecond: number): void {
  if (waitSeconds > 0)
    throw new SandlotError('rate_limited', `too many ${what}: the plan allows ${perSecond} a second`, {
      retryAfterSeconds: waitSeconds,
    })
}
