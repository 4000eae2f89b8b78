import { EventEmitter } from 'node:events'
import type { MachineInit, MachineSample, NodeEvents, SandboxNode } from '@sandlot/node'
import { SandlotError } from '@sandlot/protocol'

/** A node without machines, for tests of rows and rules. The real one is under tests/. */
export class NodeDouble implements SandboxNode {
  readonly machines = new Map<string, MachineInit | undefined>()
  readonly emitter = new EventEmitter<NodeEvents>()
  /** How many of the next calls fail. */
  failInit = 0
  failStop = 0
  /** Machines whose kernel dies during `init`. */
  dieInInit = 0
  /** Awaited before a machine is handed out, and before one is stopped. */
  acquiring: Promise<void> | undefined
  stopping: Promise<void> | undefined
  acquireCalls = 0
  #next = 0

  builds = () => [
    { buildId: 'b1', name: 'base', defaultUser: 'user', cpuCount: 2, memoryMB: 1024, diskSizeMB: 10240 },
  ]
  start = async (inUse: ReadonlySet<string>) => new Set([...inUse].filter((id) => this.machines.has(id)))
  async acquire(buildId: string) {
    this.acquireCalls++
    await this.acquiring
    const machineId = `m${this.#next++}`
    this.machines.set(machineId, undefined)
    return { machineId, buildId, address: '10.0.0.2' }
  }
  async init(machineId: string, init: MachineInit) {
    if (this.failInit-- > 0) throw new SandlotError('sandbox_create_failed', 'it broke')
    if (this.dieInInit-- > 0) this.machines.delete(machineId)
    else this.machines.set(machineId, init)
  }
  async stop(machineId: string) {
    await this.stopping
    if (this.failStop-- > 0) throw new SandlotError('operation_timeout', 'it hangs')
    this.machines.delete(machineId)
  }
  addressOf = (machineId: string) => (this.machines.has(machineId) ? '10.0.0.2' : undefined)
  on<E extends keyof NodeEvents>(event: E, listener: (...args: NodeEvents[E]) => void) {
    this.emitter.on(event, listener as never)
  }
  close = async () => {}

  /** What envd of each live machine was told. */
  inits = () => [...this.machines.values()]
  firstMachine = () => [...this.machines.keys()][0]!
  sample = (machineId: string, timestampMs: number, cpuUsedPct = 0): MachineSample => ({
    machineId,
    timestampMs,
    cpuCount: 2,
    cpuUsedPct,
    memUsed: 1,
    memTotal: 2 ** 30,
    memCache: 0,
    diskUsed: 3,
    diskTotal: 10 * 2 ** 30,
  })
}
