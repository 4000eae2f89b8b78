import type { Socket } from 'node:net'
import type { RequestScope, Requests } from '../http/requests.ts'
import { ClientConnection } from './client-connection.ts'

/** Serves connections in HTTP/1.1 that others have accepted. */
export class Http1Connections {
  readonly #requests: Requests
  readonly #onFailure: (error: unknown) => void
  readonly #open = new Set<Socket>()

  constructor(requests: Requests, onFailure: (error: unknown) => void) {
    this.#requests = requests
    this.#onFailure = onFailure
  }

  /** @param socket its bytes must not have been read, or be put back with `unshift` */
  accept(socket: Socket, scope: RequestScope): void {
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    new ClientConnection(socket, scope, this.#requests, this.#onFailure).start()
  }

  close(): void {
    for (const socket of this.#open) socket.destroy()
  }
}
