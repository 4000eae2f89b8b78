import { existsSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { run } from '../host/run.ts'
import type { InstanceNames } from '../instance-names.ts'
import type { AddressRange } from './address-range.ts'
import { type SlotFilters, setForwarding } from './slot-filters.ts'

/** Namespaces prepared ahead of need. */
const SPARE_SLOTS = 6
const IP_TIMEOUT_MS = 10_000

/** A prepared network namespace with its veth and address. */
export interface Slot {
  index: number
  netnsPath: string
  /** The host's side of its veth. */
  interfaceName: string
  /** IPv4 address of the sandbox inside, reachable from the host. */
  address: string
}

export interface SlotPoolOptions {
  names: InstanceNames
  range: AddressRange
  /** Most slots that may be in use at once. */
  maxSlots: number
  /** Absent: no machine is started in these slots. */
  filters?: Pick<SlotFilters, 'attach'>
  onError: (error: unknown) => void
}

export interface SlotPool {
  /** Takes over the namespaces that a former server left: those in `used` stay as they are, the others are made fresh. */
  adopt(used: ReadonlySet<number>): Promise<void>
  /** @throws SandlotError sandbox_capacity_unavailable when all are in use */
  take(): Promise<Slot>
  /** Gives a slot back whose machine is dead; it is made ready again in the background. */
  give(index: number): void
  slot(index: number): Slot
  /** Those that are there, in use or not. */
  existing(): Slot[]
  /** Deletes every namespace of this instance. */
  removeAll(): Promise<void>
  close(): void
}

export function createSlotPool({ names, range, maxSlots, filters, onError }: SlotPoolOptions): SlotPool {
  const limit = Math.min(maxSlots, range.slotCount)
  const ready: Slot[] = []
  const dirty: number[] = []
  const inUse = new Set<number>()
  const existing = new Set<number>()
  let nextIndex = 0
  let preparing: Promise<void> | undefined
  let isClosed = false

  const netnsName = (index: number) => `${names.netnsPrefix}${index}`
  const slot = (index: number): Slot => ({
    index,
    netnsPath: `/run/netns/${netnsName(index)}`,
    interfaceName: `${names.vethPrefix}${index}`,
    address: range.slot(index).sandbox,
  })

  const hostSetup = (index: number): string => {
    const veth = `${names.vethPrefix}${index}`
    return `netns add ${netnsName(index)}
link add ${veth} type veth peer name eth0 netns ${netnsName(index)}
addr add ${range.slot(index).gateway}/30 dev ${veth}
link set ${veth} up addrgenmode none
`
  }
  /** Also right for a used namespace: runsc takes address and route off eth0 when it starts. */
  const insideSetup = (index: number): string => {
    const { gateway, sandbox } = range.slot(index)
    return `link set lo up
link set eth0 up addrgenmode none
addr replace ${sandbox}/30 dev eth0
route replace default via ${gateway}
`
  }
  const ip = (args: string[], input: string) =>
    run('ip', [...args, '-batch', '-'], { input, timeoutMs: IP_TIMEOUT_MS })

  async function remove(index: number): Promise<void> {
    await run('ip', ['link', 'del', `${names.vethPrefix}${index}`], { timeoutMs: IP_TIMEOUT_MS }).catch(
      () => {},
    )
    const { netnsPath } = slot(index)
    await run('ip', ['netns', 'del', netnsName(index)], { timeoutMs: IP_TIMEOUT_MS }).catch((error) => {
      // an `ip` of a server that was just killed may still be at work on the same namespace
      if (existsSync(netnsPath)) throw error
    })
    existing.delete(index)
  }

  async function make(index: number): Promise<void> {
    await ip([], hostSetup(index))
    existing.add(index)
    await writeFile(`/proc/sys/net/ipv6/conf/${names.vethPrefix}${index}/disable_ipv6`, '1').catch(() => {})
    await setForwarding(slot(index).interfaceName, false)
    await filters?.attach([index])
  }

  async function prepare(index: number): Promise<Slot> {
    try {
      if (!existing.has(index)) await make(index)
      else await setForwarding(slot(index).interfaceName, false)
      await ip(['-n', netnsName(index)], insideSetup(index))
    } catch {
      // whatever is half there goes, once; a second failure is the caller's
      await remove(index)
      await make(index)
      await ip(['-n', netnsName(index)], insideSetup(index))
    }
    return slot(index)
  }

  const exhausted = (): SandlotError =>
    new SandlotError(
      'sandbox_capacity_unavailable',
      `all ${limit} network slots of this machine are in use; kill a sandbox or raise the setting 'slots'`,
      { retryAfterSeconds: 5 },
    )

  function nextFree(): number | undefined {
    const used = dirty.pop()
    if (used !== undefined) return used
    while (nextIndex < limit && (inUse.has(nextIndex) || existing.has(nextIndex))) nextIndex++
    return nextIndex < limit ? nextIndex++ : undefined
  }

  async function fill(): Promise<void> {
    while (!isClosed && ready.length < SPARE_SLOTS) {
      const index = nextFree()
      if (index === undefined) return
      try {
        ready.push(await prepare(index))
      } catch (error) {
        dirty.unshift(index)
        throw error
      }
    }
  }

  function refill(): Promise<void> {
    preparing ??= fill().finally(() => {
      preparing = undefined
    })
    return preparing
  }

  return {
    slot,
    existing: () => [...existing].map(slot),
    async adopt(used) {
      for (const name of await readdir('/run/netns').catch(() => [])) {
        if (!name.startsWith(names.netnsPrefix)) continue
        const index = Number(name.slice(names.netnsPrefix.length))
        existing.add(index)
        if (used.has(index)) inUse.add(index)
        else if (index < limit) dirty.push(index)
        else await remove(index).catch(onError)
      }
      await filters?.attach([...existing]).catch(onError)
      await refill()
    },
    async take() {
      while (ready.length === 0) {
        if (inUse.size >= limit || isClosed) throw exhausted()
        await refill()
        if (ready.length === 0 && dirty.length === 0 && nextIndex >= limit) throw exhausted()
      }
      const taken = ready.shift()!
      inUse.add(taken.index)
      refill().catch(onError)
      return taken
    },
    give(index) {
      if (!inUse.delete(index)) return
      dirty.push(index)
      refill().catch(onError)
    },
    async removeAll() {
      isClosed = true
      await preparing?.catch(() => {})
      for (const name of await readdir('/run/netns').catch(() => []))
        if (name.startsWith(names.netnsPrefix)) await remove(Number(name.slice(names.netnsPrefix.length)))
    },
    close() {
      isClosed = true
    },
  }
}
