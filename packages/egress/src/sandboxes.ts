import { CLOSED, type NetworkOwner } from '@sandlot/protocol/node'
import type { AcceptedConnection, CompiledPolicy } from './connection.ts'
import { compilePolicy } from './policy.ts'
import { ClosedRanges } from './ranges.ts'

/** What a connection meets whose sandbox is gone. */
const NOTHING = compilePolicy(CLOSED, new ClosedRanges([], []))

/** A sandbox with its policy and its open connections. */
export class Sandbox {
  readonly owner: NetworkOwner
  policy: CompiledPolicy
  readonly #connections = new Set<AcceptedConnection>()

  constructor(owner: NetworkOwner, policy: CompiledPolicy) {
    this.owner = owner
    this.policy = policy
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  track(connection: AcceptedConnection): void {
    this.#connections.add(connection)
    connection.socket.once('close', () => this.#connections.delete(connection))
  }

  /** Cuts the connections that the policy refuses now. Those that are not decided yet will meet the policy anyway. */
  cutRefused(): void {
    for (const connection of this.#connections) {
      const { decidedFor, address } = connection
      if (decidedFor && !this.policy.decide(decidedFor.name, address).isAllowed)
        cut(connection, 'policy_changed')
    }
  }

  cutAll(): void {
    this.policy = NOTHING
    for (const connection of this.#connections) cut(connection, 'sandbox_removed')
  }
}

function cut(connection: AcceptedConnection, reason: AcceptedConnection['cutReason']): void {
  connection.cutReason = reason
  connection.socket.resetAndDestroy()
}

/** The sandboxes that egress knows, by their address. */
export class Sandboxes {
  readonly #byAddress = new Map<string, Sandbox>()

  find(address: string): Sandbox | undefined {
    return this.#byAddress.get(address)
  }

  set(address: string, owner: NetworkOwner, policy: CompiledPolicy, closeExisting: boolean): void {
    const existing = this.#byAddress.get(address)
    if (existing?.owner.sandboxId === owner.sandboxId && existing.owner.teamId === owner.teamId) {
      existing.policy = policy
      if (closeExisting) existing.cutRefused()
      return
    }
    // connections of another sandbox that had this address must not go on under the new policy
    existing?.cutAll()
    this.#byAddress.set(address, new Sandbox(owner, policy))
  }

  remove(address: string): void {
    this.#byAddress.get(address)?.cutAll()
    this.#byAddress.delete(address)
  }

  removeAll(): void {
    for (const address of this.#byAddress.keys()) this.remove(address)
  }
}
