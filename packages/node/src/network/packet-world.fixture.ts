/**
 * A world of network namespaces for tests of the firewall, in a process that runs in a network namespace of its own, which
 * stands for the host: slots, the host with the real firewall and filters, and the internet, where every address in
 * INTERNET answers.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import type { Egress } from '@sandlot/protocol'
import { CLOSED, type ConnectionRecord, type NetworkOwner, type NetworkPolicy } from '@sandlot/protocol/node'
import { run } from '../host/run.ts'
import { namesFor } from '../instance-names.ts'
import { parseAddressRange } from './address-range.ts'
import { ConnectionRecorder } from './connection-recorder.ts'
import { Firewall } from './firewall.ts'
import { NftMonitor } from './nft-monitor.ts'
import type { PacketAgent } from './packet-agent.fixture.ts'
import { remote } from './packet-remote.fixture.ts'
import type { Slot } from './slot.ts'
import { SlotFilters } from './slot-filters.ts'
import { SlotPool } from './slots.ts'

/** Addresses that answer outside, some of them in ranges that are closed to sandboxes. */
const INTERNET = ['11.0.0.0/8', '93.184.0.0/16', '10.20.0.0/16', '192.0.2.0/24', '9.9.9.9']
/** Addresses that answer datagrams. */
const ANSWERING = ['93.184.216.34', '93.184.1.1', '11.0.0.1', '11.2.3.4', '11.9.9.9', '9.9.9.9', '10.20.0.1']
const HOST_OUTSIDE = '12.0.0.1'
const OUTSIDE = '12.0.0.2'
const RANGE = '10.191.0.0/16'
const RESOLVER = '9.9.9.9'
export const EGRESS_DNS = { address: '169.254.53.53', port: 5353 }

export interface WorldOptions {
  hasEgress?: boolean
  allowedRanges?: string[]
  maxConnections?: number
  recordAll?: boolean
}

type Agent = { [M in keyof PacketAgent]: (...args: Parameters<PacketAgent[M]>) => Promise<unknown> } & {
  child: ChildProcess
}

/** Starts an agent, in the network namespace of a name or in that of this process. */
async function startAgent(netns?: string): Promise<Agent> {
  const file = new URL('./packet-agent.fixture.ts', import.meta.url).pathname
  const stdio: Array<'ignore' | 'inherit' | 'ipc'> = ['ignore', 'inherit', 'inherit', 'ipc']
  const child = netns
    ? spawn('ip', ['netns', 'exec', netns, process.execPath, file], { stdio })
    : fork(file, { stdio })
  await once(child, 'message')
  return remote<Agent>(child)
}

const sh = (script: string) => run('sh', ['-ec', script])

class World {
  readonly names = namesFor(`/packet-world-${process.pid}`)
  readonly slots: Slot[] = []
  readonly guests: Agent[] = []
  readonly egressCalls: string[] = []
  readonly errors: string[] = []
  host!: Agent
  outside!: Agent
  firewall!: Firewall
  filters!: SlotFilters
  pool!: SlotPool
  recorder!: ConnectionRecorder
  monitor!: NftMonitor
  /** What the monitor has reported of the table. */
  readonly changes: boolean[] = []
  readonly records: ConnectionRecord[] = []
  /** Owners of slots that the firewall does not know, by address. */
  readonly closed = new Map<string, NetworkOwner>()
  proxyPort = 0
  options: WorldOptions = {}

  async open(options: WorldOptions): Promise<void> {
    this.options = options
    // namespaces of this process alone, which end with it
    await mkdir('/run/netns', { recursive: true })
    await sh(`mount -t tmpfs none /run/netns
ip link set lo up
ip netns add outside
ip link add eth0 type veth peer name eth0 netns outside
ip addr add ${HOST_OUTSIDE}/30 dev eth0 && ip link set eth0 up
ip netns exec outside sh -ec 'ip link set lo up; ip addr add ${OUTSIDE}/30 dev eth0; ip link set eth0 up; ${INTERNET.map((range) => `ip route add local ${range} dev lo`).join('; ')}'
ip route add default via ${OUTSIDE}`)
    this.host = await startAgent()
    this.outside = await startAgent('outside')
    await this.outside.serve({ tcp: [80, 443, 8080, 53] })
    // one server for each address, as an answer has the address that its socket is bound to
    for (const host of ANSWERING) await this.outside.serve({ host, udp: [53, 443, 8080] })
    ;[this.proxyPort] = (await this.host.serve({ host: '127.0.0.1', tcp: [0], isTransparent: true })) as [
      number,
    ]
    await this.openSlots()
  }

  async openSlots(): Promise<void> {
    const { names } = this
    const range = parseAddressRange(RANGE)
    const onError = (error: unknown) => void this.errors.push(String(error))
    const host = () => ({ addresses: [HOST_OUTSIDE], networks: ['12.0.0.0/30'] })
    this.filters = new SlotFilters({ names, range, allowedRanges: this.options.allowedRanges, host, onError })
    this.pool = new SlotPool({ names, range, maxSlots: 2, filters: this.filters, onError })
    this.firewall = this.createFirewall()
    await this.firewall.install([])
    this.recorder = new ConnectionRecorder({
      names,
      range: RANGE,
      resolver: EGRESS_DNS.address,
      sandboxAt: (address) => {
        const { owner, network } = this.firewall.policyAt(address) ?? {}
        if (owner && network) return { owner, network }
        const closed = this.closed.get(address)
        return closed && { owner: closed, network: CLOSED }
      },
      emit: ({ records }) => void this.records.push(...records),
      onError,
    })
    this.monitor = new NftMonitor({
      table: names.nftTable,
      isOwn: (pid) => this.firewall.isOwn(pid),
      onChange: (isTouched) => void this.changes.push(isTouched),
      onTrace: this.recorder.onTrace,
      onError,
    })
    this.monitor.start()
    await this.monitor.untilListening()
    if (this.options.hasEgress)
      await this.host.serve({ host: EGRESS_DNS.address, udp: [EGRESS_DNS.port], tcp: [EGRESS_DNS.port] })
    for (let i = 0; i < 2; i++) {
      const slot = await this.pool.take()
      this.slots.push(slot)
      this.guests.push(await startAgent(slot.netnsPath.split('/').at(-1)))
    }
  }

  createFirewall(): Firewall {
    const { hasEgress, allowedRanges, maxConnections = 100, recordAll } = this.options
    return new Firewall({
      names: this.names,
      range: RANGE,
      dns: RESOLVER,
      allowedRanges,
      maxConnections,
      recordAll,
      egress: hasEgress ? this.createEgress() : undefined,
      host: () => ({ addresses: [HOST_OUTSIDE], networks: ['12.0.0.0/30'] }),
      onDoubt: () => {},
      onError: (error) => void this.errors.push(String(error)),
    })
  }

  createEgress(): Egress {
    return {
      proxyPort: this.proxyPort,
      dns: EGRESS_DNS,
      setPolicy: (address, { sandboxId }, { allowNames }, closeExisting) =>
        void this.egressCalls.push(`${address} ${sandboxId} ${allowNames}${closeExisting ? ' closing' : ''}`),
      removePolicy: (address) => void this.egressCalls.push(`${address} removed`),
      onRecord: () => {},
      caBundle: () => '',
      close: async () => {},
    }
  }
}

const world = new World()

const methods = {
  open: (options: WorldOptions) => world.open(options),
  setPolicy(slot: number, policy: NetworkPolicy, owner?: NetworkOwner, closeExisting?: boolean) {
    if (owner) world.closed.set(world.slots[slot]!.address, owner)
    return world.firewall.setPolicy(world.slots[slot]!, policy, owner, closeExisting)
  },
  changes: async () => world.changes.splice(0),
  keepRoute: () => world.firewall.keepRoute(),
  close: (slot: number) => world.firewall.close(world.slots[slot]!),
  forget: (slot: number) => world.firewall.forget(world.slots[slot]!),
  limitCounters: async () => [...(await world.firewall.limitCounters())],
  examine: (isTouched?: boolean) => world.firewall.examine(isTouched),
  /** Replaces the firewall by that of another server. */
  async restart(
    known: Array<{ slot: number; network: NetworkPolicy; owner?: NetworkOwner }>,
    proxyPort?: number,
  ) {
    world.firewall.dispose()
    if (proxyPort !== undefined) world.proxyPort = proxyPort
    world.firewall = world.createFirewall()
    await world.firewall.install(known.map((one) => ({ ...one, slot: world.slots[one.slot]! })))
  },
  tcp: (slot: number, options: never) => world.guests[slot]!.tcp(options),
  udp: (slot: number, options: never) => world.guests[slot]!.udp(options),
  talk: (slot: number, hold: string, text: string) => world.guests[slot]!.talk(hold, text),
  hangUp: (slot: number, hold: string, isReset?: boolean) => world.guests[slot]!.hangUp(hold, isReset),
  accepted: (where: 'host' | 'outside') => world[where].accepted(),
  resetProxy: () => world.host.reset(),
  serveOnHost: (options: never) => world.host.serve(options),
  record: async (isOn: boolean) => world.recorder.update(isOn),
  records: async () => world.records.splice(0),
  /** Kills the processes that the recorder has started. */
  async killRecorders(): Promise<void> {
    for (const name of await readdir('/proc')) {
      const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')
      const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '')
      const isChild = Number(/\) \S (\d+)/.exec(stat)?.[1]) === process.pid
      if (isChild && /^(conntrack\0-E|nft\0monitor)/.test(line)) process.kill(Number(name), 'SIGKILL')
    }
  },
  /** Connects from the host itself. */
  hostUdp: (options: never) => world.host.udp(options),
  info: async () => ({
    addresses: world.slots.map(({ address }) => address),
    interfaces: world.slots.map(({ interfaceName }) => interfaceName),
    netns: world.slots.map(({ netnsPath }) => netnsPath.split('/').at(-1)!),
    table: world.names.nftTable,
    mark: world.names.mark,
    proxyPort: world.proxyPort,
    egressCalls: world.egressCalls.splice(0),
    errors: world.errors.splice(0),
  }),
  sh: async (script: string) => (await sh(script)).stdout,
  remove: () => world.firewall.remove(),
}

export type PacketWorld = {
  [M in keyof typeof methods]: (
    ...args: Parameters<(typeof methods)[M]>
  ) => Promise<Awaited<ReturnType<(typeof methods)[M]>>>
}
process.on(
  'message',
  async ({ id, method, args }: { id: number; method: keyof PacketWorld; args: never[] }) => {
    try {
      const result = await (methods[method] as (...args: never[]) => Promise<unknown>)(...args)
      process.send!({ id, result })
    } catch (error) {
      process.send!({ id, error: String((error as Error).stack ?? error) })
    }
  },
)
process.on('disconnect', () => process.exit())
process.send!({ id: 0 })
