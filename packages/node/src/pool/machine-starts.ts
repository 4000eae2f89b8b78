import { SandlotError } from '@sandlot/protocol'
import { OPEN } from '@sandlot/protocol/node'
import type { Build } from '../builder/base-build.ts'
import type { LiveMachine, MachineSource, StartOptions } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import type { PreparedKernels } from '../machines/prepared-kernels.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import type { FrozenMachines } from '../persistence/frozen-machines.ts'
import type { StartableCheckpoints } from '../persistence/startable-checkpoints.ts'
import { memoryShortage } from '../pressure/memory-shortage.ts'
import { mentionUnlisted } from '../unlisted/unlisted-data.ts'
import { OneTimeSources } from './one-time-sources.ts'
import { RecentDemand } from './recent-demand.ts'
import type { StartPriority } from './start-priority.ts'
import type { WarmPool } from './warm-pool.ts'

/** Owner of the server's own starts, e.g. to renew a template for another runsc. */
const OWN_WORK = ''
/** Starts within 10 s up to which a snapshot is not kept in stock. */
const SELDOM = 1
/**
 * Policy of warm machines of the base template. They contain no foreign code, and most sandboxes need this policy, so
 * that a create need not change it.
 */
export const STOCK_OF_BASE = OPEN

export interface MachineStartsOptions {
  machines: Machines
  tiers: CheckpointTiers
  frozenMachines: FrozenMachines
  startPriority: StartPriority
  /** The node's own builds, by id. */
  builds: ReadonlyMap<string, Build>
  poolMin: number
  poolMax: number
  memoryFloorMB: number
}

/** Parts that are created after `MachineStarts`, because they start machines. */
export interface StartParts {
  pool: WarmPool<LiveMachine>
  prepared: PreparedKernels
  startable: StartableCheckpoints
  /** Number of machines that are frozen because the database does not list them. */
  unlistedCount: () => number
}

/** Starts machines from the base build, from checkpoints or from one-time sources, and makes room for them. */
export class MachineStarts {
  readonly #options: MachineStartsOptions
  readonly #oneTimeSources = new OneTimeSources<MachineSource>()
  #onceCount = 0
  #parts!: StartParts

  constructor(options: MachineStartsOptions) {
    this.#options = options
  }

  /** Connects the remaining parts; must be called once, before the first start. */
  connect(parts: StartParts): void {
    this.#parts = parts
  }

  /** Starts a machine for the pool. @param key id of a build, or key of a one-time source */
  start(key: string, options: StartOptions): Promise<LiveMachine> {
    const start = () => this.#startFrom(key, options)
    return options.isUrgent ? this.#options.startPriority.during(start) : start()
  }

  /** Starts and claims a machine from a source without warm machines, through the pool's queue. */
  async once(checkpointId: string, source: MachineSource): Promise<LiveMachine> {
    // a key of its own, because the machine is started with the policy of one sandbox
    const key = `${checkpointId} ${++this.#onceCount}`
    const machine = await this.#oneTimeSources.during(key, source, () =>
      this.#parts.pool.takeOnce(key, { owner: source.owner ?? OWN_WORK }),
    )
    await this.#options.machines.claim(machine)
    await machine.policyInForce
    return machine
  }

  demandFor(buildId: string): RecentDemand {
    const { builds, poolMin, poolMax } = this.#options
    const isBase = builds.has(buildId)
    return new RecentDemand({
      min: isBase ? poolMin : 0,
      max: poolMax,
      ignored: isBase || this.#parts.startable.isTemplate(buildId) ? 0 : SELDOM,
    })
  }

  /** @returns why no machine can start for lack of memory, undefined when there is enough or some can be freed */
  memoryShortage(): SandlotError | undefined {
    const { frozenMachines, memoryFloorMB } = this.#options
    const { pool, unlistedCount } = this.#parts
    if (frozenMachines.size > 0 || pool.hasSpare) return undefined
    const shortage = memoryShortage(memoryFloorMB)
    return shortage && mentionUnlisted(shortage, unlistedCount())
  }

  /** Ends machines while memory is short: prepared kernels, stock of templates, then frozen machines of paused sandboxes. */
  async makeRoom(): Promise<void> {
    while (memoryShortage(this.#options.memoryFloorMB) && (await this.#dropSpare()));
  }

  /** Ends a machine that is not needed. @returns false when there is none */
  async #dropSpare(): Promise<boolean> {
    const { prepared } = this.#parts
    return (
      (await prepared.dropOldest()) || (await this.#dropStock()) || this.#options.frozenMachines.dropOldest()
    )
  }

  async #dropStock(): Promise<boolean> {
    const machine = this.#parts.pool.takeSpare()
    if (machine) await this.#options.machines.end(machine.machineId)
    return machine !== undefined
  }

  async #startFrom(key: string, options: StartOptions): Promise<LiveMachine> {
    const { builds, tiers } = this.#options
    const { startable } = this.#parts
    await this.makeRoom()
    if (startable.has(key)) return startable.start(key, (source) => this.#startWhenFree(source, options))
    const base = builds.get(key)
    const source = base ? { ...base, network: STOCK_OF_BASE } : this.#oneTimeSources.get(key)
    if (!source) throw new SandlotError('not_found', `'${key}' was deleted`)
    const start = () => this.#startWhenFree(source, options)
    return 'checkpointId' in source && source.checkpointId ? tiers.use(source.checkpointId, start) : start()
  }

  async #startWhenFree(source: MachineSource, options: StartOptions): Promise<LiveMachine> {
    const { machines } = this.#options
    const { prepared, unlistedCount } = this.#parts
    try {
      const isAwaitedRestore = options.isUrgent && source.checkpointDir !== undefined
      return await machines.start(source, {
        ...options,
        prepared: isAwaitedRestore ? prepared.claim(source) : undefined,
      })
    } catch (error) {
      const isFull = error instanceof SandlotError && error.errorName === 'sandbox_capacity_unavailable'
      if (!isFull) throw error
      if (!(await this.#dropSpare())) throw mentionUnlisted(error, unlistedCount())
      await machines.settle()
      return machines.start(source, options)
    }
  }
}
