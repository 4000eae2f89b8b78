import type { Socket } from 'node:net'
import type { HeaderTransform, NetworkOwner, UpstreamProxy } from '@sandlot/protocol/node'

/** What a policy says about one destination. */
export interface Decision {
  isAllowed: boolean
  /** As in `ConnectionRecord.rule`. */
  rule: string
  /** The name decided, so the connection is made to the name as the host resolves it. */
  isByName: boolean
}

/** A policy, prepared for quick decisions. Immutable: a new policy is a new object. */
export interface CompiledPolicy {
  /**
   * @param name lower-case, without a trailing dot; undefined when none was seen or the port has no names
   * @param address IPv4 address that the sandbox connected to
   */
  decide(name: string | undefined, address: string): Decision
  /** Returns the rule of the exact name, else of the longest wildcard. */
  transformFor(name: string): HeaderTransform | undefined
  readonly proxy?: UpstreamProxy
}

/** A connection of a sandbox that the proxy has accepted. */
export interface AcceptedConnection {
  socket: Socket
  owner: NetworkOwner
  /** Returns the policy of the sandbox now: later requests on a connection meet a newer policy. */
  policy(): CompiledPolicy
  /** Where the sandbox connected to. */
  address: string
  port: number
  startedAtMs: number
}

/** Where a connection goes. */
export interface Target {
  /** Connects to this name as the host resolves it. Absent: to `address`. */
  name?: string
  address: string
  port: number
  /** Proxy of the policy; absent: directly. */
  proxy?: UpstreamProxy
}

/**
 * Connects to a target. @throws DialError with a reason for the record
 */
export type Dial = (target: Target, signal: AbortSignal) => Promise<Socket>

export class DialError extends Error {
  override readonly name = 'DialError'
  /** As in `ConnectionRecord.reason`, e.g. `name_not_found`, `private_address`, `proxy_refused`, `connection_refused`. */
  readonly reason: string

  constructor(reason: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}
