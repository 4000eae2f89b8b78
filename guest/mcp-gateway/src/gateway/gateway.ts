import type { LoggingLevel, Result } from '@modelcontextprotocol/server'
import { ProtocolError, ProtocolErrorCode } from '@modelcontextprotocol/server'
import type { Log } from '../log.ts'
import type { RequestOptions, ServerConnection, ServerEvents } from '../upstream/server-connection.ts'
import type { ClientSession } from './client-session.ts'
import { Directory } from './directory.ts'
import { Subscriptions } from './subscriptions.ts'

const ROOTS_TIMEOUT_MS = 5000

/** What clients without a session are told on their subscription streams. */
export interface Listeners {
  listsChanged(): void
  resourceUpdated(uri: string): void
}

const SEVERITIES: LoggingLevel[] = [
  ...(['debug', 'info', 'notice', 'warning'] as const),
  ...(['error', 'critical', 'alert', 'emergency'] as const),
]

/** The middle of the gateway: all servers on one side, all clients on the other. */
export class Gateway implements ServerEvents {
  readonly log: Log
  readonly sessions = new Set<ClientSession>()
  readonly subscriptions = new Subscriptions(this)
  listeners?: Listeners
  servers: ServerConnection[] = []
  directory = new Directory([])

  constructor(log: Log) {
    this.log = log
  }

  onoffers(): void {
    this.directory = new Directory(this.servers)
    for (const kind of ['tools', 'prompts', 'resources']) {
      for (const session of this.sessions) session.notify(`notifications/${kind}/list_changed`)
    }
    this.listeners?.listsChanged()
    for (const server of this.servers) this.subscriptions.restore(server)
  }

  onnotification(server: ServerConnection, method: string, params: Record<string, unknown>): void {
    if (method === 'notifications/message') {
      const { logger, level } = params as { logger?: string; level: LoggingLevel }
      const message = { ...params, logger: logger ? `${server.name}/${logger}` : server.name }
      for (const session of this.sessions) if (wants(session, level)) session.notify(method, message)
      return
    }
    const { uri } = params as { uri: string }
    for (const session of this.sessions) {
      if (session.subscriptions.has(uri)) session.notify(method, params)
    }
    this.listeners?.resourceUpdated(uri)
  }

  /** Asks the client that was used last; for roots all clients, as a server has one list of roots. */
  async onrequest(method: string, params: Record<string, unknown>, signal: AbortSignal): Promise<Result> {
    const able = [...this.sessions].filter((session) => session.answers(method))
    if (method === 'roots/list') return { roots: await this.#roots(able, params, signal) }
    const last = able.sort((one, other) => other.lastUsed - one.lastUsed)[0]
    if (!last) {
      throw new ProtocolError(ProtocolErrorCode.MethodNotFound, `no connected client answers '${method}'`)
    }
    return last.ask(method, params, signal)
  }

  /** Reads a resource from the server that has it; servers that may have it are asked at once, the first one wins. */
  async readResource(uri: string, options: RequestOptions): Promise<Result> {
    const servers = this.directory.serversOf(uri)
    if (servers.length === 0) throw noResource(uri)
    if (servers.length === 1) return servers[0]!.request('resources/read', { uri }, options)
    const answers = servers.map((server) => server.request('resources/read', { uri }, options))
    const settled = await Promise.any(answers).catch(() => undefined)
    if (!settled) throw noResource(uri)
    return settled
  }

  rootsChanged(): void {
    for (const server of this.servers) server.notify('notifications/roots/list_changed')
  }

  /** Lets servers log as much as the client that wants most. */
  levelChanged(): void {
    const levels = [...this.sessions].flatMap(({ logLevel }) => (logLevel ? [logLevel] : []))
    const level = levels.sort((one, other) => SEVERITIES.indexOf(one) - SEVERITIES.indexOf(other))[0]
    if (!level) return
    for (const server of this.servers) {
      if (server.client?.getServerCapabilities()?.logging) {
        server.request('logging/setLevel', { level }).catch(() => {})
      }
    }
  }

  remove(session: ClientSession): void {
    if (!this.sessions.delete(session)) return
    for (const uri of session.subscriptions) this.subscriptions.remove(uri)
    if (session.answers('roots/list')) this.rootsChanged()
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.servers.map((server) => server.stop()))
  }

  async #roots(sessions: ClientSession[], params: Record<string, unknown>, signal: AbortSignal) {
    const limited = AbortSignal.any([signal, AbortSignal.timeout(ROOTS_TIMEOUT_MS)])
    const lists = await Promise.allSettled(
      sessions.map((session) => session.ask('roots/list', params, limited)),
    )
    const roots = lists.flatMap((list) =>
      list.status === 'fulfilled' ? (list.value.roots as Array<{ uri: string }>) : [],
    )
    return [...new Map(roots.map((root) => [root.uri, root])).values()]
  }
}

const wants = ({ logLevel }: ClientSession, level: LoggingLevel) =>
  logLevel === undefined || SEVERITIES.indexOf(level) >= SEVERITIES.indexOf(logLevel)

const noResource = (uri: string) =>
  new ProtocolError(ProtocolErrorCode.InvalidParams, `no server has the resource '${uri}'`, { uri })
