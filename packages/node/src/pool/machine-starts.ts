import { SandlotError } from '@sandlot/protocol'
import type { Build } from '../builder/base-build.ts'
import type { LiveMachine, MachineSource, StartOptions } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import type { PreparedKernels } from '../machines/prepared-kernels.ts'
import { CLOSED, OPEN } from '../network/network-policy.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import type { FrozenMachines } from '../persistence/frozen-machines.ts'
import type { StartableCheckpoints } from '../persistence/startable-checkpoints.ts'
import { memoryShortage } from '../pressure/memory-shortage.ts'
import { mentionUnlisted } from '../unlisted/unlisted-data.ts'
import { OneTimeSources } from './one-time-sources.ts'
import { RecentDemand } from './recent-demand.ts'
import type { StartPriority } from './start-priority.ts'
import type { WarmPool } from './warm-pool.ts'

/** Owner of what is started for no team, e.g. a template that another runsc needs anew. */
const OWN_WORK = ''
/** Snapshots started from less often than this within 10 s are not kept in stock. */
const SELDOM = 1
/** Nobody's code is in machines of the base template yet, and most sandboxes want it: a create has nothing to change. */
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

/** Parts that start machines themselves, and so are made after `MachineStarts`. */
export interface StartParts {
  pool: WarmPool<LiveMachine>
  prepared: PreparedKernels
  startable: StartableCheckpoints
  /** Machines that stand still because no database lists them. */
  unlistedCount: () => number
}

/** How machines start: from the node's own builds, from checkpoints or once from one source, and what makes room for them. */
export class MachineStarts {
  readonly #options: MachineStartsOptions
  readonly #oneTimeSources = new OneTimeSources<MachineSource>()
  #parts!: StartParts

  constructor(options: MachineStartsOptions) {
    this.#options = options
  }

  /** Called once, before the first start. */
  connect(parts: StartParts): void {
    this.#parts = parts
  }

  /** A machine for the pool. @param key id of a build, or key of a source that is started once */
  start(key: string, options: StartOptions): Promise<LiveMachine> {
    const start = () => this.#startFrom(key, options)
    return options.isUrgent ? this.#options.startPriority.during(start) : start()
  }

  /** A machine from a source that the pool keeps no stock of, in the pool's queue. */
  async once(checkpointId: string, source: MachineSource): Promise<LiveMachine> {
    // its memory may be resumed while something else starts from its files
    const part = source.checkpointDir ? 'memory' : 'files'
    const key = `${checkpointId} ${part} ${JSON.stringify(source.network ?? CLOSED)}`
    const machine = await this.#oneTimeSources.during(key, source, () =>
      this.#parts.pool.takeOnce(key, { owner: source.owner ?? OWN_WORK }),
    )
    await this.#options.machines.claim(machine)
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

  /** Why no machine can start for lack of memory; undefined: there is enough, or something can be given up. */
  memoryShortage(): SandlotError | undefined {
    const { frozenMachines, memoryFloorMB } = this.#options
    const { pool, unlistedCount } = this.#parts
    if (frozenMachines.size > 0 || pool.hasSpare) return undefined
    const shortage = memoryShortage(memoryFloorMB)
    return shortage && mentionUnlisted(shortage, unlistedCount())
  }

  /** While memory is short, stock of templates goes, then paused sandboxes that are only held in memory. */
  async makeRoom(): Promise<void> {
    while (memoryShortage(this.#options.memoryFloorMB) && (await this.#dropSpare()));
  }

  /** Gives up a machine that nobody would miss. @returns false: there is none */
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
