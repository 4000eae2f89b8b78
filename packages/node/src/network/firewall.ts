import { readFileSync, writeFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { SandlotError } from '@sandlot/protocol'
import { isClosed, type NetworkPolicy } from '@sandlot/protocol/node'
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
  /** Called when a change has failed and the table may be gone. */
  onDoubt: () => void
  onError: (error: unknown) => void
}

/**
 * The instance's nftables table. A slot is closed unless a policy opens it; `setPolicy` resolves when the policy is in
 * force.
 */
export class Firewall {
  readonly #options: FirewallOptions
  readonly #session = new NftSession()
  readonly #table: string
  /** Elements of the table's set `open`, or those that the next installation puts into the set. */
  readonly #open = new Set<string>()
  #host: HostNetworks
  /** Rules as nft lists them; undefined before the first installation. */
  #rules: string | undefined
  #fault: string | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: FirewallOptions) {
    this.#options = options
    this.#table = options.names.nftTable
    this.#host = options.host()
  }

  /** Pid of the process that makes this server's changes. */
  get pid(): number | undefined {
    return this.#session.pid
  }

  /** Whether this slot's sandbox may reach the internet. */
  isOpen(slot: SlotKey): boolean {
    return this.#open.has(elementOf(slot))
  }

  /** What is wrong with the table; undefined when the table is intact. */
  get fault(): string | undefined {
    return this.#fault
  }

  /** @throws SandlotError firewall_unavailable while the table is at fault */
  check(): void {
    const shortage = this.shortage()
    if (shortage) throw shortage
  }

  /** @returns why nothing may be started now, undefined while the table is intact */
  shortage(): SandlotError | undefined {
    if (!this.#fault) return undefined
    const message = `nothing is started now, and machines are frozen: ${this.#fault}`
    return new SandlotError('firewall_unavailable', message, { retryAfterSeconds: 2 })
  }

  /**
   * Replaces the table in one transaction.
   * @param known slots in use with their new policies. Default: slots and policies as before
   * @throws SandlotError firewall_unavailable
   */
  install(known?: ReadonlyArray<{ slot: SlotKey; network: NetworkPolicy }>): Promise<void> {
    return this.#exclusively(async () => {
      if (known) this.#open.clear()
      for (const { slot, network } of known ?? []) if (!isClosed(network)) this.#open.add(elementOf(slot))
      this.#host = this.#options.host()
      try {
        // checked first, because a write switches forwarding on for every interface
        if (readFileSync(IP_FORWARD, 'utf8').trim() !== '1') writeFileSync(IP_FORWARD, '1')
        for (const { slot, network } of known ?? [])
          await setForwarding(slot.interfaceName, !isClosed(network))
        await this.#process(firewallRules(this.#options, { open: this.#open, host: this.#host }))
        this.#rules = readTable(await this.#list()).rules
      } catch (cause) {
        this.#fault = `the firewall table '${this.#table}' cannot be installed (${(cause as Error).message})`
        throw new SandlotError('firewall_unavailable', `${this.#fault}: see \`sandlot doctor\``, { cause })
      }
      this.#fault = undefined
    })
  }

  /** Resolves when the policy is in force; the slot is closed until then. @throws SandlotError firewall_unavailable */
  async setPolicy(slot: SlotKey, network: NetworkPolicy): Promise<void> {
    const isOpen = !isClosed(network)
    this.check()
    if (isOpen === this.#open.has(elementOf(slot))) return
    if (!isOpen) await this.close(slot)
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

  /**
   * Closes a slot. Never rejects: when the table cannot be changed, nothing starts until the table has been installed
   * again.
   */
  async close(slot: SlotKey): Promise<void> {
    const element = elementOf(slot)
    if (!this.#open.has(element)) return
    await Promise.all([
      setForwarding(slot.interfaceName, false).catch(this.#options.onError),
      this.#exclusively(async () => {
        this.#open.delete(element)
        const named = `element inet ${this.#table} open { ${element} }`
        // the `add` makes the `delete` succeed when the element is already gone
        await this.#change(`add ${named}; delete ${named}`)
      }),
    ])
  }

  /**
   * Removes the connections of a slot's dead sandbox from the kernel's table. Otherwise they would stay for days, count
   * against the next sandbox in the slot, and fill the table for everyone. Never rejects.
   */
  async forget(slot: SlotKey): Promise<void> {
    await run('conntrack', ['-D', '-f', 'ipv4', '-s', slot.address], {
      timeoutMs: CONNTRACK_TIMEOUT_MS,
    }).catch(
      // some versions exit with 1 when there was no connection
      (error) => error.exitCode === 1 || this.#options.onError(error),
    )
  }

  /** Updates the table to the host's current networks. @returns whether they changed */
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

  /** Compares the table with the expected one. @returns the fault, if there is one */
  examine(): Promise<string | undefined> {
    return this.#exclusively(async () => {
      if (this.#rules === undefined) return undefined
      const found = await this.#list().then(readTable, (error: Error) => error)
      if (found instanceof Error)
        this.#fault = `the firewall table '${this.#table}' is gone (${lastLine(found)})`
      else if (found.rules !== this.#rules)
        this.#fault = `the firewall table '${this.#table}' was changed by another program`
      else if (found.open.symmetricDifference(this.#open).size > 0)
        this.#fault = `the set 'open' of the firewall table '${this.#table}' was changed by another program`
      return this.#fault
    })
  }

  async remove(): Promise<void> {
    await this.#process(`table inet ${this.#table} {}\ndelete table inet ${this.#table}\n`)
  }

  dispose(): void {
    this.#session.close()
  }

  /** Runs changes, comparisons and installations one at a time, so that a comparison never sees half of a change. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work)
    this.#last = next.catch(() => {})
    return next
  }

  /** Runs one transaction. When it fails, the table may be gone. */
  async #change(commands: string): Promise<void> {
    try {
      await this.#command(commands)
    } catch (error) {
      this.#options.onError(error)
      this.#fault = `the firewall table '${this.#table}' rejects changes (${lastLine(error as Error)})`
      this.#options.onDoubt()
    }
  }

  #list(): Promise<string> {
    return this.#command(`list table inet ${this.#table}`)
  }

  /** Runs commands in the open nft session, else in a separate process, which prints the same output. */
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

/** Finds the first IPv4 resolver of the host that is not a loopback stub. */
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
