import { createSecureContext } from 'node:tls'
import type { AcceptedConnection, HttpContext, HttpGate } from '../connection.ts'
import { Http1Connections } from '../http1/connections.ts'
import { Origins } from './origins.ts'
import { Requests } from './requests.ts'

export interface ClosableGate extends HttpGate {
  close(): void
}

export function createHttpGate(context: HttpContext, options: { idleTimeoutMs?: number } = {}): ClosableGate {
  // plain HTTP verifies no certificates
  const requests = new Requests(
    context,
    new Origins(context.dial, createSecureContext()),
    options.idleTimeoutMs,
  )
  const connections = new Http1Connections(requests, (error) => {
    context.log.error({ err: error }, 'a request of a sandbox could not be served')
  })
  return {
    serve(connection: AcceptedConnection, head: Buffer): void {
      const { socket } = connection
      socket.on('error', () => socket.destroy())
      socket.setNoDelay(true)
      socket.unshift(head)
      connections.accept(socket, { connection })
    },
    close: () => connections.close(),
  }
}
