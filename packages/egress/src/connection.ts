import type { Socket } from 'node:net'
import type { EgressCredentials } from '@sandlot/protocol'
import type { HeaderTransform, NetworkOwner, UpstreamProxy } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { Recorder } from './recorder.ts'

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
   * @param name as `hostName` returns it (`names.ts`); undefined when none was seen or the port has no names
   * @param address IPv4 address that the sandbox connected to
   */
  decide(name: string | undefined, address: string): Decision
  /** Returns the rule that lets DNS queries for a name pass; undefined when none does. */
  ruleForQuery(name: string): string | undefined
  /** Returns the rule of the exact name, else of the longest wildcard. */
  transformFor(name: string): HeaderTransform | undefined
  /** Names matter to this policy, so the first bytes of connections to the ports 80 and 443 must be read. */
  readonly readsNames: boolean
  readonly proxy?: UpstreamProxy
  /** Resolvers for the sandbox; absent: those of the host. */
  readonly dnsServers?: string[]
}

/** A connection of a sandbox that the proxy has accepted. Cut by its sandbox's removal: listen for `close`. */
export interface AcceptedConnection {
  /** Paused, with `allowHalfOpen`. */
  socket: Socket
  owner: NetworkOwner
  /** Returns the policy of the sandbox now: later requests on a connection meet a newer policy. */
  policy(): CompiledPolicy
  /** Where the sandbox connected to. */
  address: string
  port: number
  startedAtMs: number
  /**
   * What the connection was decided for last; set by the code that decides, absent before. A new policy with
   * `closeExisting` cuts the connections that it refuses for this name and their address.
   */
  decidedFor?: { name?: string }
  /** Why the proxy itself has cut the connection. */
  cutReason?: 'policy_changed' | 'sandbox_removed'
}

/** Where a connection goes. */
export interface Target {
  /** Who connects: bounds are kept for each sandbox. */
  sandboxId: string
  /** Connects to this name as the host resolves it. Absent: to `address`. */
  name?: string
  address: string
  port: number
  /** Proxy of the policy; absent: directly. */
  proxy?: UpstreamProxy
}

/**
 * Connects to a target. The socket has `allowHalfOpen`.
 * @throws DialError with a reason for the record
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

/** What the parts that read HTTP share with the rest of the proxy. */
export interface HttpContext {
  dial: Dial
  recorder: Recorder
  credentials: EgressCredentials
  log: Logger
  /** PEM of authorities that are trusted for upstream servers beside the system's. */
  upstreamCas: string[]
}

/** Serves plain HTTP on port 80; each request is decided by its Host. Writes the records of its requests. */
export interface HttpGate {
  /** @param head the bytes that were read from the socket: not empty, they begin like an HTTP request */
  serve(connection: AcceptedConnection, head: Buffer): void
  close(): void
}

/**
 * Serves TLS connections to names that the policy allows and has a transform for. Writes the records of its requests, and
 * of handshakes that fail.
 */
export interface Interceptor {
  /**
   * @param name the server name of the ClientHello, as `hostName` returns it
   * @param head the bytes that were read from the socket: a whole ClientHello, perhaps more
   */
  serve(connection: AcceptedConnection, name: string, head: Buffer): void
  close(): void
}
