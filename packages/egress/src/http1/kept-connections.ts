import type { ServerConnection } from './server-connection.ts'

/** Servers often close connections after 5 idle seconds (Node, uvicorn), so the proxy closes them earlier. */
export const IDLE_CONNECTION_MS = 4_000
export const MAX_IDLE_CONNECTIONS = 64

/** Connections to one server that wait for their next request. */
export class KeptConnections {
  /** The one that was used last is the last entry. */
  readonly #kept = new Map<ServerConnection, NodeJS.Timeout>()
  readonly #watched = new WeakSet<ServerConnection>()

  take(): ServerConnection | undefined {
    for (const connection of [...this.#kept.keys()].reverse()) {
      this.#forget(connection)
      if (connection.isIdle) return connection
    }
    return undefined
  }

  /** Keeps a connection whose answer has ended, or closes it. */
  put(connection: ServerConnection): void {
    if (!connection.mayStay || this.#kept.size >= MAX_IDLE_CONNECTIONS) {
      connection.destroy()
      return
    }
    connection.markReused()
    const timer = setTimeout(() => connection.destroy(), IDLE_CONNECTION_MS)
    this.#kept.set(connection, timer)
    if (this.#watched.has(connection)) return
    this.#watched.add(connection)
    connection.socket.once('close', () => this.#forget(connection))
  }

  #forget(connection: ServerConnection): void {
    clearTimeout(this.#kept.get(connection))
    this.#kept.delete(connection)
  }
}
