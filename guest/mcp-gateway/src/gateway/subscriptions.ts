import type { ServerConnection } from '../upstream/server-connection.ts'
import type { Directory } from './directory.ts'

interface Subscription {
  count: number
  /** The client of the server's process that knows of it; another one after a restart. */
  known: Map<ServerConnection, unknown>
}

/** Which resources clients watch; each server is told once, however many clients watch. */
export class Subscriptions {
  readonly #gateway: { directory: Directory }
  readonly #byUri = new Map<string, Subscription>()

  constructor(gateway: { directory: Directory }) {
    this.#gateway = gateway
  }

  async add(uri: string): Promise<void> {
    const subscription = this.#byUri.get(uri) ?? { count: 0, known: new Map() }
    this.#byUri.set(uri, subscription)
    subscription.count++
    await this.#tell(uri, subscription)
  }

  remove(uri: string): void {
    const subscription = this.#byUri.get(uri)
    if (!subscription || --subscription.count > 0) return
    this.#byUri.delete(uri)
    for (const server of subscription.known.keys()) {
      if (server.client) server.request('resources/unsubscribe', { uri }).catch(() => {})
    }
  }

  /** Tells a server that was started again what is still watched. */
  restore(server: ServerConnection): void {
    for (const [uri, subscription] of this.#byUri) {
      const known = subscription.known.get(server)
      if (known && server.client && known !== server.client) void this.#tell(uri, subscription)
    }
  }

  async #tell(uri: string, { known }: Subscription): Promise<void> {
    for (const server of this.#gateway.directory.serversOf(uri)) {
      const { client } = server
      if (!client?.getServerCapabilities()?.resources?.subscribe || known.get(server) === client) continue
      known.set(server, client)
      await server.request('resources/subscribe', { uri }).catch(() => known.delete(server))
    }
  }
}
