import { readFileSync } from 'node:fs'
import type { Egress } from '@sandlot/protocol'
import type { NodeEventOf } from '@sandlot/protocol/node'
import type { InstanceNames } from '../instance-names.ts'
import type { LiveMachine } from '../machines/machine.ts'
import type { Machines } from '../machines/machines.ts'
import type { AddressRange } from './address-range.ts'
import { ConnectionRecorder, type RecordedSandbox } from './connection-recorder.ts'
import { Firewall } from './firewall.ts'
import { faultFileOf } from './firewall-fault.ts'
import { LimitRefusals } from './limit-refusals.ts'
import { NetworkGuard, type NetworkGuardOptions } from './network-guard.ts'
import { NftMonitor } from './nft-monitor.ts'
import type { CurrentHost } from './open-egress.ts'
import { SlotFilters, setForwarding } from './slot-filters.ts'
import { hasRules } from './slot-policies.ts'
import type { SlotPool } from './slots.ts'

export interface NodeNetworkOptions {
  names: InstanceNames
  range: AddressRange
  dns: string
  allowedRanges?: string[]
  maxConnections: number
  host: CurrentHost
  egress?: Egress
  /** Whether connections of all sandboxes are recorded, not only of those with rules. */
  recordAll?: boolean
  emit: (event: NodeEventOf<'connections' | 'connectionLimit'>) => void
  /** `<home>/run`. */
  runDir: string
  onError: (error: unknown) => void
}

export interface WatchOptions extends Pick<NetworkGuardOptions, 'onStalled' | 'onFault' | 'onMended'> {
  machines: Machines
  slots: SlotPool
}

/** Isolates the machines of a node: the firewall's table, the filters on each veth, and the guard that watches both. */
export class NodeNetwork {
  readonly firewall: Firewall
  readonly filters: SlotFilters
  readonly #options: NodeNetworkOptions
  readonly #monitor: NftMonitor
  readonly #recorder: ConnectionRecorder
  readonly #refusals = new LimitRefusals()
  #machines: Machines | undefined
  #guard: NetworkGuard | undefined
  #slots: SlotPool | undefined

  constructor(options: NodeNetworkOptions) {
    const { names, range, dns, allowedRanges, maxConnections, host, egress, recordAll, onError } = options
    const look = (isTouched?: boolean) => void this.#guard?.look(isTouched).catch(onError)
    this.#options = options
    this.firewall = new Firewall({
      names,
      range: range.cidr,
      dns,
      allowedRanges,
      maxConnections,
      egress,
      recordAll,
      onError,
      host: () => host.read(),
      onDoubt: () => look(),
      onRules: () => this.#recorder.update(true),
    })
    this.filters = new SlotFilters({ names, range, allowedRanges, host: () => host.read(), onError })
    this.#recorder = new ConnectionRecorder({
      names,
      range: range.cidr,
      resolver: egress?.dns.address,
      sandboxAt: (address) => this.#recordedAt(address),
      emit: options.emit,
      onError,
    })
    egress?.onRecord((record) => this.#recorder.add(record))
    this.#monitor = new NftMonitor({
      table: names.nftTable,
      isOwn: (pid) => this.firewall.isOwn(pid),
      onChange: look,
      onTrace: this.#recorder.onTrace,
      onError,
    })
  }

  /** Begins to watch the table, and to stall machines while it is gone or changed. The table must be installed before. */
  async watch({ machines, slots, onStalled, onFault, onMended }: WatchOptions): Promise<void> {
    const { runDir, onError } = this.#options
    this.#slots = slots
    this.#machines = machines
    this.#guard = new NetworkGuard({
      onStalled,
      onFault,
      onMended,
      onError,
      firewall: this.firewall,
      faultFile: faultFileOf(runDir),
      running: () => machines.running(),
      stall: (machine) => machines.stall(machine),
      thaw: (machine) => machines.thaw(machine),
    })
    this.#monitor.start()
    this.#updateRecorder()
    // before any sandbox is created, so that a create never waits for it
    await this.#monitor.untilListening()
    await this.#guard.look()
  }

  /** Releases a machine to a caller that freezes it permanently. */
  release<T>(machine: LiveMachine, work: () => Promise<T>): Promise<T> {
    return this.#guard ? this.#guard.release(machine, work) : work()
  }

  /** Called every second: installs the table again while it has a fault. */
  async mend(): Promise<void> {
    if (this.firewall.fault) await this.#guard?.look()
  }

  /** Called every few seconds: examines the table, and applies changes of the host's networks. */
  async tend(): Promise<void> {
    this.#updateRecorder()
    await this.#guard?.look()
    await this.firewall.keepRoute()
    await this.#countRefusals().catch(this.#options.onError)
    const slots = [...(this.#slots?.existing() ?? [])]
    if (await this.firewall.refreshHost()) await this.filters.attach(slots.map(({ index }) => index))
    for (const slot of slots) await this.#correctForwarding(slot.interfaceName, this.firewall.isOpen(slot))
  }

  /** Reports packets beyond the limit of connections, of all sandboxes: records have only some of them. */
  async #countRefusals(): Promise<void> {
    if (this.firewall.fault) return
    const counters = await this.firewall.limitCounters()
    const packets = this.#refusals.since(counters, this.#machines?.all() ?? [])
    if (packets.size === 0) return
    const refused = [...packets].map(([teamId, count]) => ({ teamId, packets: count }))
    this.#options.emit({ type: 'connectionLimit', refused })
  }

  #updateRecorder(): void {
    this.#recorder.update(this.#options.recordAll === true || this.firewall.hasRules)
  }

  #recordedAt(address: string): RecordedSandbox | undefined {
    const { recordAll = false } = this.#options
    const found = this.firewall.policyAt(address) ?? (recordAll ? this.#closedAt(address) : undefined)
    if (!found?.owner || !(recordAll || hasRules(found.network))) return undefined
    return { owner: found.owner, network: found.network }
  }

  /** Finds a sandbox that may reach nothing, which the firewall does not know. */
  #closedAt(address: string): LiveMachine | undefined {
    return [...(this.#machines?.all() ?? [])].find(({ slot }) => slot.address === address)
  }

  /** Needed because switching `ip_forward` off and on switches forwarding on for every interface. */
  async #correctForwarding(interfaceName: string, isOpen: boolean): Promise<void> {
    try {
      const file = `/proc/sys/net/ipv4/conf/${interfaceName}/forwarding`
      if ((readFileSync(file, 'utf8').trim() === '1') !== isOpen) await setForwarding(interfaceName, isOpen)
    } catch {
      // the slot was removed meanwhile
    }
  }

  close(): void {
    this.#monitor.close()
    this.#recorder.close()
    this.firewall.dispose()
  }
}
