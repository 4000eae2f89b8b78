import type { MachineSample } from '@sandlot/protocol/node'
import type { NodeParts } from './assemble.ts'
import { collectNodeGarbage } from './garbage.ts'
import { Intervals } from './intervals.ts'
import type { LiveMachine } from './machines/machine.ts'

const WATCH_INTERVAL_MS = 500
const SAMPLE_INTERVAL_MS = 5_000
const WARM_HEALTH_INTERVAL_MS = 30_000
const SPARES_INTERVAL_MS = 1_000
/** Interval of disk checks; a sandbox that writes 4 GB a second exceeds the default floor within this time. */
const DISK_INTERVAL_MS = 250
const NETWORK_INTERVAL_MS = 5_000
const NETWORK_MEND_INTERVAL_MS = 1_000
const GARBAGE_INTERVAL_MS = 15 * 60_000

/** Periodic work of a node: notices dead machines, takes samples, adjusts spares and stock, collects garbage. */
export class Upkeep {
  readonly #parts: NodeParts
  readonly #intervals: Intervals

  constructor(parts: NodeParts) {
    this.#parts = parts
    this.#intervals = new Intervals(parts.onError)
  }

  start(): void {
    const { network, guard } = this.#parts
    const intervals = this.#intervals
    intervals.every(WATCH_INTERVAL_MS, () => this.#watch())
    intervals.every(SAMPLE_INTERVAL_MS, () => this.#takeSamples())
    intervals.every(NETWORK_INTERVAL_MS, () => network.tend())
    intervals.every(NETWORK_MEND_INTERVAL_MS, () => network.mend())
    intervals.every(SPARES_INTERVAL_MS, () => this.#dropSpares())
    // not while the firewall has a fault, because machines must stay stalled then, and this guard would thaw them
    intervals.every(DISK_INTERVAL_MS, () => (network.firewall.fault ? undefined : guard.look()))
    intervals.every(WARM_HEALTH_INTERVAL_MS, () => this.#checkPool())
    intervals.every(GARBAGE_INTERVAL_MS, () =>
      collectNodeGarbage({ ...this.#parts, limits: this.#parts.options.buildCache }),
    )
  }

  close(): void {
    this.#intervals.close()
  }

  /** Reports machines in use whose kernel has died, and removes those in stock. */
  #watch(): void {
    const { machines, pool, frozenMachines, onError } = this.#parts
    for (const machine of machines.all()) {
      if (machine.isEnding || machines.isAlive(machine)) continue
      const wasWarm = machine.isWarm
      if (wasWarm) pool.drop((other) => other === machine)
      const wasHeld = frozenMachines.claim(machine.machineId) !== undefined
      machines.end(machine.machineId).catch(onError)
      if (!wasWarm && !wasHeld) this.#emitExit(machine)
    }
  }

  #emitExit({ machineId }: LiveMachine): void {
    const exit = { machineId, reason: "the sandbox's kernel ended by itself" }
    this.#parts.options.logger.warn(exit, 'machine exited')
    this.#parts.events.emit({ type: 'exit', ...exit })
  }

  async #takeSamples(): Promise<void> {
    const { machines, sampler, events } = this.#parts
    const used = [...machines.all()].filter((machine) => !machine.isWarm && !machine.isFrozen)
    if (used.length === 0) return
    const samples: MachineSample[] = await sampler.sample(used)
    if (samples.length > 0) events.emit({ type: 'samples', samples })
  }

  /** Ends frozen machines and prepared kernels by age, and while memory is short. */
  async #dropSpares(): Promise<void> {
    const { frozenMachines, prepared, starts } = this.#parts
    frozenMachines.dropOld()
    prepared.dropStale()
    await starts.makeRoom()
  }

  async #checkPool(): Promise<void> {
    const { pool, machines } = this.#parts
    for (const machine of pool.surplus()) await machines.end(machine.machineId)
    for (const machine of pool.ready()) {
      if (machine.isFrozen) continue
      if (await machine.guest.isHealthy()) continue
      pool.drop((other) => other === machine)
      if (machine.isWarm) await machines.end(machine.machineId)
    }
    pool.refill()
  }
}
