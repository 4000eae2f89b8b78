import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

/** Breaks a connection so that the other side sees a reset. Of TLS, which Node cannot reset, it sees the end without a goodbye. */
export function reset(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}
