import type { TLSSocket } from 'node:tls'
import type { RequestScope, Requests } from '../http/requests.ts'
import { Relay } from './relay.ts'

/** Serves connections in HTTP/2 whose server speaks it too. */
export class Relays {
  readonly #requests: Requests
  readonly #onFailure: (error: unknown) => void
  readonly #open = new Set<Relay>()

  constructor(requests: Requests, onFailure: (error: unknown) => void) {
    this.#requests = requests
    this.#onFailure = onFailure
  }

  /**
   * Connects to the server of the connection.
   * @param client has negotiated HTTP/2, and nothing has been read from it
   * @returns false when the connection cannot be relayed: its requests must be served one by one
   */
  async accept(client: TLSSocket, scope: RequestScope): Promise<boolean> {
    const origin = this.#requests.originOfConnection(scope)
    const server = await origin?.openHttp2()
    if (!origin || !server) return false
    if (client.destroyed) {
      server.destroy()
      return true
    }
    const relay = new Relay({
      ...{ client, server, origin, scope },
      ...{ requests: this.#requests, onFailure: this.#onFailure },
    })
    this.#open.add(relay)
    relay.start(() => this.#open.delete(relay))
    return true
  }

  close(): void {
    for (const relay of this.#open) relay.close()
  }
}
