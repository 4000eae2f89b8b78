import type { LoggingLevel, Result, Server } from '@modelcontextprotocol/server'
import { anyResult } from '../upstream/any-result.ts'
import type { Caller } from '../upstream/server-connection.ts'

/** People answer these questions. */
const QUESTION_TIMEOUT_MS = 10 * 60_000

/** The field of a client's capabilities that says it answers a method. */
const CAPABILITIES = {
  'sampling/createMessage': 'sampling',
  'elicitation/create': 'elicitation',
  'roots/list': 'roots',
} as const

export const capabilityFor = (method: string) => CAPABILITIES[method as keyof typeof CAPABILITIES]

/** A client with a session: what the gateway may send and ask at any time. */
export class ClientSession implements Caller {
  readonly server: Server
  /** URIs that it subscribed to. */
  readonly subscriptions = new Set<string>()
  /** The least severe log message that it wants; undefined: it never said. */
  logLevel?: LoggingLevel
  lastUsed = performance.now()

  constructor(server: Server) {
    this.server = server
  }

  answers(method: string): boolean {
    const capability = capabilityFor(method)
    return capability !== undefined && this.server.getClientCapabilities()?.[capability] !== undefined
  }

  ask(method: string, params: Record<string, unknown>, signal: AbortSignal): Promise<Result> {
    return this.server.request({ method, params }, anyResult, { signal, timeout: QUESTION_TIMEOUT_MS })
  }

  notify(method: string, params: Record<string, unknown> = {}): void {
    this.server.notification({ method, params }).catch(() => {})
  }
}
