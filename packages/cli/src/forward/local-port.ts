import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { Failure } from '../failure.ts'

/** A client that sends nothing for this long waits for the server to speak first (SSH, MySQL). */
const FIRST_WORD_MS = 300
const HTTP_START = /^[A-Z]{3,20} /

export interface PortHandlers {
  http(socket: Socket): void
  tcp(socket: Socket): void
}

export interface LocalPort {
  port: number
  close(): void
}

/** Listens on 127.0.0.1 and distinguishes HTTP from other protocols by the first bytes of each connection. */
export async function listenLocally(port: number, handlers: PortHandlers): Promise<LocalPort> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    sort(socket, handlers)
  })
  await listen(server, port)
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

function sort(socket: Socket, { http, tcp }: PortHandlers): void {
  const settle = (kind: (socket: Socket) => void, first?: Buffer): void => {
    clearTimeout(timer)
    socket.off('data', onData).off('error', drop).pause()
    if (first) socket.unshift(first)
    kind(socket)
  }
  const onData = (first: Buffer): void =>
    settle(HTTP_START.test(first.toString('latin1', 0, 24)) ? http : tcp, first)
  const drop = (): void => {
    clearTimeout(timer)
    socket.destroy()
  }
  const timer = setTimeout(() => settle(tcp), FIRST_WORD_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.once('data', onData).once('error', drop)
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason =
        error.code === 'EADDRINUSE'
          ? `port ${port} is in use. Choose another: ${port + 1}:<port of the sandbox>`
          : error.message
      reject(new Failure(`Cannot listen on 127.0.0.1:${port}: ${reason}`, { cause: error }))
    })
    server.listen(port, '127.0.0.1', resolve)
  })
}
