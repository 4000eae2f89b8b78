import { type Egress, SandlotError } from '@sandlot/protocol'
import { isClosed, type NetworkOwner, type NetworkPolicy, needsProxy } from '@sandlot/protocol/node'
import { type Elements, elementsOf, joinElements, type SlotKey } from './policy-elements.ts'

/** A slot with a sandbox, and what the sandbox may reach. */
export interface SlotPolicy {
  slot: SlotKey
  network: NetworkPolicy
  /** Absent for machines that work for the server itself, which never have rules. */
  owner?: NetworkOwner
}

interface SlotState extends SlotPolicy {
  elements: Elements
  /** Whether the proxy knows the slot, and may have connections of it. */
  isDiverted: boolean
}

/** The policies of slots that may reach something, and what the firewall's table must contain for them. */
export class SlotPolicies {
  readonly #egress: Egress | undefined
  /** By address. */
  readonly #states = new Map<string, SlotState>()
  /** Slots that the proxy must still forget. */
  readonly #told = new Set<string>()
  /** Why policies that need the proxy are refused. */
  #noProxyBecause: string | undefined

  constructor(egress: Egress | undefined) {
    this.#egress = egress
    if (!egress) this.#noProxyBecause = 'this node has no egress proxy'
  }

  get(address: string): Readonly<SlotState> | undefined {
    return this.#states.get(address)
  }

  has(address: string): boolean {
    return this.#states.has(address)
  }

  /** Whether any slot has rules of its own. */
  get hasRules(): boolean {
    for (const { network } of this.#states.values()) if (hasRules(network)) return true
    return false
  }

  /** Whether the proxy gets connections of any slot. */
  get isDiverting(): boolean {
    for (const { isDiverted } of this.#states.values()) if (isDiverted) return true
    return false
  }

  /** @throws SandlotError not_implemented when a policy needs the proxy and there is none */
  check(network: NetworkPolicy): void {
    if (this.#noProxyBecause && needsProxy(network) && !isClosed(network))
      throw new SandlotError(
        'not_implemented',
        `names, transforms and proxies in network rules cannot be put in force: ${this.#noProxyBecause}`,
      )
  }

  useProxy(): void {
    this.#noProxyBecause = undefined
    this.#renew()
  }

  /** Slots whose policy needs the proxy have no elements, which means that they are closed, until `useProxy`. */
  useNoProxy(because: string): void {
    this.#noProxyBecause = because
    this.#renew()
  }

  /** Keeps the policy of a slot, and tells the proxy, which must know the policy before the kernel sends it packets. */
  keep({ slot, network, owner }: SlotPolicy, closeExisting = false): Readonly<SlotState> {
    const { address } = slot
    const wasDiverted = this.#states.get(address)?.isDiverted ?? false
    const isDiverted = this.#egress !== undefined && (wasDiverted || needsProxy(network))
    const elements = this.#elementsOf(slot, network, isDiverted)
    if (isDiverted) {
      if (!owner) throw new Error(`the policy of ${address} needs the proxy and has no owner`)
      this.#egress!.setPolicy(address, owner, network, closeExisting)
    }
    const state = { slot, network, owner, isDiverted, elements }
    this.#states.set(address, state)
    return state
  }

  /** Forgets a slot that is being closed; the proxy learns of it by `tellForgotten`. */
  forget(address: string): void {
    if (this.#states.get(address)?.isDiverted) this.#told.add(address)
    this.#states.delete(address)
  }

  /** Lets the proxy forget a slot and cut the connections of the slot, once the kernel sends it no more packets. */
  tellForgotten(address: string): void {
    if (this.#told.delete(address)) this.#egress?.removePolicy(address)
  }

  clear(): void {
    this.#states.clear()
  }

  /** What the table must contain for all slots. */
  elements(): Elements {
    return joinElements([...this.#states.values()].map(({ elements }) => elements))
  }

  #renew(): void {
    for (const state of this.#states.values())
      state.elements = this.#elementsOf(state.slot, state.network, state.isDiverted)
  }

  #elementsOf(slot: SlotKey, network: NetworkPolicy, isDiverted: boolean): Elements {
    if (!this.#noProxyBecause) return elementsOf(slot, network, { wasDiverted: isDiverted })
    return needsProxy(network) ? new Map() : elementsOf(slot, network)
  }
}

/** Whether a policy is more than open or closed. */
export const hasRules = (network: NetworkPolicy): boolean =>
  !isClosed(network) &&
  (needsProxy(network) || network.allowRanges.length > 0 || network.denyRanges.length > 0)

export const isSame = (a: SlotPolicy, b: SlotPolicy): boolean =>
  JSON.stringify([a.network, a.owner]) === JSON.stringify([b.network, b.owner])
