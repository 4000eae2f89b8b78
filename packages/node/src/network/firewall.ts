import { readFileSync, writeFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { SandlotError } from '@sandlot/protocol'
import type { NetworkPolicy } from '@sandlot/protocol/node'
import { run } from '../host/run.ts'
import {
  elementOf,
  type FirewallRulesOptions,
  firewallRules,
  hostNetworksUpdate,
  readTable,
  type SlotKey,
} from './firewall-rules.ts'
import type { HostNetworks } from './host-networks.ts'
import { NftRefusal, NftSession } from './nft-session.ts'
import { setForwarding } from './slot-filters.ts'

const NFT_TIMEOUT_MS = 10_000
const CONNTRACK_TIMEOUT_MS = 10_000
const IP_FORWARD = '/proc/sys/net/ipv4/ip_forward'

export interface FirewallOptions extends FirewallRulesOptions {
  host: () => HostNetworks
  /** A change failed: the table may be gone. */
  onDoubt: () => void
  onError: (error: unknown) => void
}

/** The instance's nftables table: a slot is closed unless its policy says otherwise, and policies are in force once set. */
export class Firewall {
  readonly #options: FirewallOptions
  readonly #session = new NftSession()
  readonly #table: string
  /** Elements that the table's set has, or is to have when it is installed next. */
  readonly #open = new Set<string>()
  #host: HostNetworks
  /** What only we change, as nft lists it; undefined: the table was not installed yet. */
  #rules: string | undefined
  #fault: string | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: FirewallOptions) {
    this.#options = options
    this.#table = options.names.nftTable
    this.#host = options.host()
  }

  /** Process that makes our changes. */
  get pid(): number | undefined {
    return this.#session.pid
  }

  /** May this slot's sandbox reach the internet? */
  isOpen(slot: SlotKey): boolean {
    return this.#open.has(elementOf(slot))
  }

  /** Why the table does not hold; undefined: it does. */
  get fault(): string | undefined {
    return this.#fault
  }

  /** @throws SandlotError firewall_unavailable while the table does not hold */
  check(): void {
    const shortage = this.shortage()
    if (shortage) throw shortage
  }

  /** @returns why nothing may be started now; undefined: the table holds */
  shortage(): SandlotError | undefined {
    if (!this.#fault) return undefined
    const message = `nothing is started and nothing runs now: ${this.#fault}`
    return new SandlotError('firewall_unavailable', message, { retryAfterSeconds: 2 })
  }

  /**
   * Replaces the table in one transaction.
   * @param known slots in use, with the policies that are in force from now on; absent: those that were before
   * @throws SandlotError firewall_unavailable
   */
  install(known?: ReadonlyArray<{ slot: SlotKey; network: NetworkPolicy }>): Promise<void> {
    return this.#exclusively(async () => {
      if (known) this.#open.clear()
      for (const { slot, network } of known ?? [])
        if (network.allowInternetAccess) this.#open.add(elementOf(slot))
      this.#host = this.#options.host()
      try {
        // written anew it would switch every interface on
        if (readFileSync(IP_FORWARD, 'utf8').trim() !== '1') writeFileSync(IP_FORWARD, '1')
        for (const { slot, network } of known ?? [])
          await setForwarding(slot.interfaceName, network.allowInternetAccess)
        await this.#process(firewallRules(this.#options, { open: this.#open, host: this.#host }))
        this.#rules = readTable(await this.#list()).rules
      } catch (cause) {
        this.#fault = `the firewall table '${this.#table}' cannot be installed (${(cause as Error).message})`
        throw new SandlotError('firewall_unavailable', `${this.#fault}: see \`sandlot doctor\``, { cause })
      }
      this.#fault = undefined
    })
  }

  /** Resolves when it is in force; a slot is closed until then. @throws SandlotError firewall_unavailable */
  async setPolicy(slot: SlotKey, { allowInternetAccess }: NetworkPolicy): Promise<void> {
    this.check()
    if (allowInternetAccess === this.#open.has(elementOf(slot))) return
    if (!allowInternetAccess) await this.close(slot)
    else await this.#openSlot(slot)
    this.check()
  }

  async #openSlot(slot: SlotKey): Promise<void> {
    const element = elementOf(slot)
    await Promise.all([
      setForwarding(slot.interfaceName, true),
      this.#exclusively(async () => {
        this.#open.add(element)
        await this.#change(`add element inet ${this.#table} open { ${element} }`)
      }),
    ])
  }

  /** Never fails: where the table cannot be changed it is doubted, and nothing starts until it is as it should be. */
  async close(slot: SlotKey): Promise<void> {
    const element = elementOf(slot)
    if (!this.#open.has(element)) return
    await Promise.all([
      setForwarding(slot.interfaceName, false).catch(this.#options.onError),
      this.#exclusively(async () => {
        this.#open.delete(element)
        const named = `element inet ${this.#table} open { ${element} }`
        // no error where it is gone already
        await this.#change(`add ${named}; delete ${named}`)
      }),
    ])
  }

  /**
   * Forgets what a slot's dead sandbox had open: the kernel would keep it for days, count it against the next one in the
   * slot, and fill its table for everybody. Never fails.
   */
  async forget(slot: SlotKey): Promise<void> {
    await run('conntrack', ['-D', '-f', 'ipv4', '-s', slot.address], {
      timeoutMs: CONNTRACK_TIMEOUT_MS,
    }).catch(
      // some versions end with 1 when there was nothing
      (error) => error.exitCode === 1 || this.#options.onError(error),
    )
  }

  /** Takes over what the host's networks are now. @returns whether they changed */
  async refreshHost(): Promise<boolean> {
    const host = this.#options.host()
    if (JSON.stringify(host) === JSON.stringify(this.#host)) return false
    await this.#exclusively(async () => {
      this.#host = host
      await this.#change(hostNetworksUpdate(this.#table, host))
      this.#rules = readTable(await this.#list()).rules
    })
    return true
  }

  /** Looks whether the table is as it should be. @returns why not */
  examine(): Promise<string | undefined> {
    return this.#exclusively(async () => {
      if (this.#rules === undefined) return undefined
      const found = await this.#list().then(readTable, (error: Error) => error)
      if (found instanceof Error)
        this.#fault = `the firewall table '${this.#table}' is gone (${lastLine(found)})`
      else if (found.rules !== this.#rules)
        this.#fault = `the firewall table '${this.#table}' was changed by someone else`
      else if (found.open.symmetricDifference(this.#open).size > 0)
        this.#fault = `the set 'open' of the firewall table '${this.#table}' was changed by someone else`
      return this.#fault
    })
  }

  async remove(): Promise<void> {
    await this.#process(`table inet ${this.#table} {}\ndelete table inet ${this.#table}\n`)
  }

  dispose(): void {
    this.#session.close()
  }

  /** Changes, looks and installations one after the other: what is compared is what was meant at that moment. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work)
    this.#last = next.catch(() => {})
    return next
  }

  /** One transaction. When it fails the table is in doubt. */
  async #change(commands: string): Promise<void> {
    try {
      await this.#command(commands)
    } catch (error) {
      this.#options.onError(error)
      this.#fault = `the firewall table '${this.#table}' does not take changes (${lastLine(error as Error)})`
      this.#options.onDoubt()
    }
  }

  #list(): Promise<string> {
    return this.#command(`list table inet ${this.#table}`)
  }

  /** By the kept session, else by a process: both say the same. */
  async #command(commands: string): Promise<string> {
    try {
      return await this.#session.run(commands)
    } catch (error) {
      if (error instanceof NftRefusal) throw error
      this.#options.onError(error)
      return this.#process(`${commands}\n`)
    }
  }

  async #process(input: string): Promise<string> {
    return (await run('nft', ['-f', '-'], { input, timeoutMs: NFT_TIMEOUT_MS })).stdout
  }
}

const lastLine = (error: Error): string => error.message.split('\n')[0]!.slice(0, 200)

/** First IPv4 resolver of the host that is not a loopback stub. */
export function hostResolver(): string | undefined {
  for (const file of ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf']) {
    try {
      for (const line of readFileSync(file, 'utf8').split('\n')) {
        const address = /^nameserver\s+(\S+)/.exec(line)?.[1]
        if (address && isIPv4(address) && !address.startsWith('127.')) return address
      }
    } catch {}
  }
  return undefined
}
