import { readFileSync, writeFileSync } from 'node:fs'
import { type Egress, SandlotError } from '@sandlot/protocol'
import { isClosed, type NetworkOwner, type NetworkPolicy } from '@sandlot/protocol/node'
import { run } from '../host/run.ts'
import { addDiversionRoute, removeDiversionRoute } from './diversion-route.ts'
import {
  type FirewallRulesOptions,
  firewallRules,
  hostNetworksUpdate,
  LIMIT_COUNTERS,
} from './firewall-rules.ts'
import type { HostNetworks } from './host-networks.ts'
import { differenceOf, NftTable, type TableContent } from './nft-table.ts'
import { closeRefused } from './open-connections.ts'
import { changeCommands, type SlotKey } from './policy-elements.ts'
import { setForwarding } from './slot-filters.ts'
import { hasRules, isSame, SlotPolicies, type SlotPolicy } from './slot-policies.ts'

const CONNTRACK_TIMEOUT_MS = 10_000
const IP_FORWARD = '/proc/sys/net/ipv4/ip_forward'

export interface FirewallOptions extends Omit<FirewallRulesOptions, 'egress'> {
  host: () => HostNetworks
  /** Absent: policies that need the proxy are refused. */
  egress?: Egress
  /** Called when a slot gets a policy with rules of its own. */
  onRules?: () => void
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
  readonly #table: NftTable
  readonly #tableName: string
  readonly #slots: SlotPolicies
  #host: HostNetworks
  /** Rules as nft lists them; undefined before the first installation. */
  #rules: string | undefined
  #fault: string | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: FirewallOptions) {
    this.#options = options
    this.#tableName = options.names.nftTable
    this.#table = new NftTable(this.#tableName, options.onError)
    this.#host = options.host()
    this.#slots = new SlotPolicies(options.egress)
  }

  /** Whether a process makes changes of the table for this server. */
  isOwn(pid: number): boolean {
    return this.#table.isOwn(pid)
  }

  /** Whether this slot's sandbox may reach anything. */
  isOpen({ address }: SlotKey): boolean {
    return this.#slots.has(address)
  }

  /** The policy of the sandbox with this address; undefined when the sandbox may reach nothing. */
  policyAt(address: string): SlotPolicy | undefined {
    return this.#slots.get(address)
  }

  /** Whether any slot has rules of its own. */
  get hasRules(): boolean {
    return this.#slots.hasRules
  }

  /** What is wrong with the table; undefined when the table is intact. */
  get fault(): string | undefined {
    return this.#fault
  }

  /**
   * @param network policy that is to be put in force next
   * @throws SandlotError firewall_unavailable; not_implemented when the policy needs the proxy and there is none
   */
  check(network?: NetworkPolicy): void {
    const shortage = this.shortage()
    if (shortage) throw shortage
    if (network) this.#slots.check(network)
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
  install(known?: readonly SlotPolicy[]): Promise<void> {
    return this.#exclusively(async () => {
      this.#host = this.#options.host()
      try {
        // checked first, because a write switches forwarding on for every interface
        if (readFileSync(IP_FORWARD, 'utf8').trim() !== '1') writeFileSync(IP_FORWARD, '1')
        if (known) await this.#adopt(known)
        await this.#replace()
        this.#rules = (await this.#table.content()).rules
      } catch (cause) {
        this.#fault = `the firewall table '${this.#tableName}' cannot be installed (${(cause as Error).message})`
        throw new SandlotError('firewall_unavailable', `${this.#fault}: see \`sandlot doctor\``, { cause })
      }
      this.#fault = undefined
    })
  }

  /**
   * Resolves when the policy is in force for new connections; the slot keeps its former policy until then.
   * @throws SandlotError firewall_unavailable; not_implemented when the policy needs the proxy and there is none
   */
  async setPolicy(
    slot: SlotKey,
    network: NetworkPolicy,
    owner?: NetworkOwner,
    closeExisting = false,
  ): Promise<void> {
    this.check(network)
    const before = this.#slots.get(slot.address)
    // connections of a sandbox that runs live on: its slot stays open, and the rules refuse all new ones; a machine that no
    // sandbox has had yet has none, and is closed by the second layer too
    if (isClosed(network) && (!before?.owner || closeExisting)) await this.close(slot)
    else if (!before || closeExisting || !isSame(before, { slot, network, owner }))
      await Promise.all([
        before ? undefined : setForwarding(slot.interfaceName, true),
        this.#exclusively(() => this.#put({ slot, network, owner }, closeExisting)),
      ])
    this.check()
    if (closeExisting) await closeRefused(this.#options, slot.address, network)
  }

  /**
   * Closes a slot. Never rejects: when the table cannot be changed, nothing starts until the table has been installed
   * again.
   */
  async close(slot: SlotKey): Promise<void> {
    if (!this.#slots.has(slot.address)) return
    await Promise.all([
      setForwarding(slot.interfaceName, false).catch(this.#options.onError),
      this.#exclusively(async () => {
        const elements = this.#slots.get(slot.address)?.elements
        if (!elements) return
        this.#slots.forget(slot.address)
        await this.#change(changeCommands(this.#tableName, elements, new Map()))
        this.#slots.tellForgotten(slot.address)
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
      await this.#change([hostNetworksUpdate(this.#tableName, host)])
      // with the rules from before, a comparison would find a change by another program
      const content = await this.#table
        .content()
        .catch((error: Error) => this.#doubt('cannot be read', error))
      if (content) this.#rules = content.rules
    })
    return true
  }

  /**
   * Compares the table with the expected one: rules, and which slots may reach something. The other elements of policies are
   * not compared, as they can be very many: the monitor reports changes of these.
   * @param isTouched whether the monitor has seen that another program changed such elements
   * @returns the fault, if there is one
   */
  async examine(isTouched = false): Promise<string | undefined> {
    if (this.#rules === undefined) return undefined
    // first beside changes, which must not wait for this; a difference may be half of a change
    const found = await this.#table.content().catch(() => undefined)
    const isIntact = found && this.#differenceOf(found, isTouched) === undefined
    return isIntact && !this.#fault ? undefined : this.#exclusively(() => this.#findFault(isTouched))
  }

  async #findFault(isTouched: boolean): Promise<string | undefined> {
    const found = await this.#table.content().catch((error: Error) => error)
    const what = found instanceof Error ? undefined : this.#differenceOf(found, isTouched)
    if (found instanceof Error)
      this.#fault = `the firewall table '${this.#tableName}' is gone (${lastLine(found)})`
    else if (what) this.#fault = `${what} changed by another program`
    return this.#fault
  }

  #differenceOf(found: TableContent, isTouched: boolean): string | undefined {
    const table = `the firewall table '${this.#tableName}'`
    const expected = { rules: this.#rules ?? '', elements: this.#slots.elements() }
    const touched = isTouched ? `the policies of ${table} were` : undefined
    return differenceOf(table, expected, found) ?? touched
  }

  /** Refused packets of connections beyond the limit, by interface of the slot, since the table was installed. */
  limitCounters = (): Promise<Map<string, number>> => this.#table.counters(LIMIT_COUNTERS)

  /** Adds the route to the proxy again, which programs that manage the network remove (systemd-networkd does). */
  async keepRoute(): Promise<void> {
    const { egress, names } = this.#options
    if (egress && this.#slots.isDiverting) await addDiversionRoute(names, egress.dns.address)
  }

  async remove(): Promise<void> {
    await this.#table.remove()
    await removeDiversionRoute(this.#options.names)
  }

  dispose(): void {
    this.#table.dispose()
  }

  /** Takes over the policies of machines that run. The proxy hears of them before packets are sent to it. */
  async #adopt(known: readonly SlotPolicy[]): Promise<void> {
    this.#slots.clear()
    for (const { slot, network, owner } of known) {
      if (!isClosed(network)) this.#slots.keep({ slot, network, owner })
      await setForwarding(slot.interfaceName, !isClosed(network))
    }
  }

  /** Puts a policy in force for a slot, in one transaction. */
  async #put(policy: SlotPolicy, closeExisting: boolean): Promise<void> {
    const before = this.#slots.get(policy.slot.address)?.elements ?? new Map()
    const { elements } = this.#slots.keep(policy, closeExisting)
    const commands = changeCommands(this.#tableName, before, elements)
    if (commands.length > 0) await this.#change(commands)
    if (hasRules(policy.network)) this.#options.onRules?.()
  }

  /** Installs the table, on a kernel that cannot divert connections without the proxy. */
  async #replace(): Promise<void> {
    const { egress, names, onError } = this.#options
    if (!egress) return this.#table.replace(this.#rulesWith(undefined))
    this.#slots.useProxy()
    try {
      await addDiversionRoute(names, egress.dns.address)
      await this.#table.replace(this.#rulesWith(egress))
    } catch (cause) {
      const reason = `this machine cannot send connections to the egress proxy (${lastLine(cause as Error)})`
      this.#slots.useNoProxy(reason)
      await this.#table.replace(this.#rulesWith(undefined)).catch(() => {
        throw cause
      })
      onError(new Error(reason, { cause }))
    }
  }

  #rulesWith(egress: Egress | undefined): string {
    const state = { elements: this.#slots.elements(), host: this.#host }
    return firewallRules({ ...this.#options, egress }, state)
  }

  /** Runs changes, comparisons and installations one at a time, so that a comparison never sees half of a change. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work)
    this.#last = next.catch(() => {})
    return next
  }

  /** Runs one transaction. When it fails, the table may be gone. */
  async #change(commands: readonly string[]): Promise<void> {
    await this.#table.change(commands).catch((error: Error) => this.#doubt('rejects changes', error))
  }

  #doubt(what: string, error: Error): void {
    this.#options.onError(error)
    this.#fault = `the firewall table '${this.#tableName}' ${what} (${lastLine(error)})`
    this.#options.onDoubt()
  }
}

const lastLine = (error: Error): string => error.message.split('\n')[0]!.slice(0, 200)
