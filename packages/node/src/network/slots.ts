import { existsSync } from 'node:fs'
import { readdir, writeFile } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { run } from '../host/run.ts'
import type { InstanceNames } from '../instance-names.ts'
import type { AddressRange } from './address-range.ts'
import type { Slot } from './slot.ts'
import { type SlotFilters, setForwarding } from './slot-filters.ts'

/** Number of namespaces that are prepared in advance. */
const SPARE_SLOTS = 6
const IP_TIMEOUT_MS = 10_000

export interface SlotPoolOptions {
  names: InstanceNames
  range: AddressRange
  /** Most slots that may be in use at once. */
  maxSlots: number
  /** Absent only when no machine is ever started in these slots. */
  filters?: Pick<SlotFilters, 'attach'>
  onError: (error: unknown) => void
}

/** Network namespaces of this instance: some are prepared in advance, the others in use or dirty. */
export class SlotPool {
  readonly #options: SlotPoolOptions
  readonly #limit: number
  readonly #ready: Slot[] = []
  /** Namespaces of dead machines, which must be prepared again. */
  readonly #dirty: number[] = []
  readonly #inUse = new Set<number>()
  readonly #existing = new Set<number>()
  #nextIndex = 0
  #refilling: Promise<void> | undefined
  #isClosed = false

  constructor(options: SlotPoolOptions) {
    this.#options = options
    this.#limit = Math.min(options.maxSlots, options.range.slotCount)
  }

  slot(index: number): Slot {
    const { names, range } = this.#options
    return {
      index,
      netnsPath: `/run/netns/${this.#netnsOf(index)}`,
      interfaceName: `${names.vethPrefix}${index}`,
      address: range.slot(index).sandbox,
    }
  }

  /** Slots whose namespace exists, in use or not. */
  existing(): Slot[] {
    return [...this.#existing].map((index) => this.slot(index))
  }

  /** Takes over the namespaces of a former server: those in `used` are left alone, the others are prepared again. */
  async adopt(used: ReadonlySet<number>): Promise<void> {
    const { filters, onError } = this.#options
    for (const index of await this.#foundIndexes()) {
      this.#existing.add(index)
      if (used.has(index)) this.#inUse.add(index)
      else if (index < this.#limit) this.#dirty.push(index)
      else await this.#remove(index).catch(onError)
    }
    await filters?.attach([...this.#existing]).catch(onError)
    await this.#refill()
  }

  /** @throws SandlotError sandbox_capacity_unavailable when all are in use */
  async take(): Promise<Slot> {
    while (this.#ready.length === 0) {
      if (this.#inUse.size >= this.#limit || this.#isClosed) throw this.#exhausted()
      await this.#refill()
      const isExhausted = this.#dirty.length === 0 && this.#nextIndex >= this.#limit
      if (this.#ready.length === 0 && isExhausted) throw this.#exhausted()
    }
    const taken = this.#ready.shift()!
    this.#inUse.add(taken.index)
    this.#refillInBackground()
    return taken
  }

  /** Returns the slot of a dead machine, which is prepared again in the background. */
  give(index: number): void {
    if (!this.#inUse.delete(index)) return
    this.#dirty.push(index)
    this.#refillInBackground()
  }

  /** Deletes every namespace of this instance. */
  async removeAll(): Promise<void> {
    this.#isClosed = true
    await this.#refilling?.catch(() => {})
    for (const index of await this.#foundIndexes()) await this.#remove(index)
  }

  close(): void {
    this.#isClosed = true
  }

  #refillInBackground(): void {
    this.#refill().catch(this.#options.onError)
  }

  #refill(): Promise<void> {
    this.#refilling ??= this.#fill().finally(() => {
      this.#refilling = undefined
    })
    return this.#refilling
  }

  async #fill(): Promise<void> {
    while (!this.#isClosed && this.#ready.length < SPARE_SLOTS) {
      const index = this.#nextFree()
      if (index === undefined) return
      try {
        this.#ready.push(await this.#prepare(index))
      } catch (error) {
        this.#dirty.unshift(index)
        throw error
      }
    }
  }

  #nextFree(): number | undefined {
    const dirty = this.#dirty.pop()
    if (dirty !== undefined) return dirty
    const isTaken = (index: number) => this.#inUse.has(index) || this.#existing.has(index)
    while (this.#nextIndex < this.#limit && isTaken(this.#nextIndex)) this.#nextIndex++
    return this.#nextIndex < this.#limit ? this.#nextIndex++ : undefined
  }

  async #prepare(index: number): Promise<Slot> {
    try {
      if (!this.#existing.has(index)) await this.#make(index)
      else await setForwarding(this.slot(index).interfaceName, false)
      await this.#setUpInside(index)
    } catch {
      // removes what exists of the namespace and retries once
      await this.#remove(index)
      await this.#make(index)
      await this.#setUpInside(index)
    }
    return this.slot(index)
  }

  async #make(index: number): Promise<void> {
    const { range, filters } = this.#options
    const { interfaceName } = this.slot(index)
    const netns = this.#netnsOf(index)
    const commands = `netns add ${netns}
link add ${interfaceName} type veth peer name eth0 netns ${netns}
addr add ${range.slot(index).gateway}/30 dev ${interfaceName}
link set ${interfaceName} up addrgenmode none
`
    await ipBatch([], commands)
    this.#existing.add(index)
    await writeFile(`/proc/sys/net/ipv6/conf/${interfaceName}/disable_ipv6`, '1').catch(() => {})
    await setForwarding(interfaceName, false)
    await filters?.attach([index])
  }

  /**
   * Sets up the interfaces inside, also of a used namespace, as runsc removes address and route from eth0 when it starts.
   */
  async #setUpInside(index: number): Promise<void> {
    const { gateway, sandbox } = this.#options.range.slot(index)
    const commands = `link set lo up
link set eth0 up addrgenmode none
addr replace ${sandbox}/30 dev eth0
route replace default via ${gateway}
`
    await ipBatch(['-n', this.#netnsOf(index)], commands)
  }

  async #remove(index: number): Promise<void> {
    const { interfaceName, netnsPath } = this.slot(index)
    await run('ip', ['link', 'del', interfaceName], { timeoutMs: IP_TIMEOUT_MS }).catch(() => {})
    const netns = this.#netnsOf(index)
    await run('ip', ['netns', 'del', netns], { timeoutMs: IP_TIMEOUT_MS }).catch((error) => {
      // an `ip` process of a server that was just killed may still be using this namespace
      if (existsSync(netnsPath)) throw error
    })
    this.#existing.delete(index)
  }

  /** Lists the indexes of all namespaces of this instance on this host. */
  async #foundIndexes(): Promise<number[]> {
    const { netnsPrefix } = this.#options.names
    const names = await readdir('/run/netns').catch(() => [])
    return names
      .filter((name) => name.startsWith(netnsPrefix))
      .map((name) => Number(name.slice(netnsPrefix.length)))
  }

  #netnsOf(index: number): string {
    return `${this.#options.names.netnsPrefix}${index}`
  }

  #exhausted(): SandlotError {
    return new SandlotError(
      'sandbox_capacity_unavailable',
      `all ${this.#limit} network slots of this machine are in use; kill a sandbox or raise the setting 'slots'`,
      { retryAfterSeconds: 5 },
    )
  }
}

async function ipBatch(args: string[], input: string): Promise<void> {
  await run('ip', [...args, '-batch', '-'], { input, timeoutMs: IP_TIMEOUT_MS })
}
