import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { createServer, type Server, type Socket } from 'node:net'
import type { Sandbox, Sandboxes } from '../sandboxes.ts'
import type { Queries } from './queries.ts'
import { MessageReader, withLength } from './tcp-messages.ts'

/** Queries hold a name of 255 bytes and a few options. */
const MAX_QUERY_BYTES = 4_096
const MAX_TCP_CONNECTIONS = 1_000
const MAX_TCP_CONNECTIONS_PER_SANDBOX = 16
const TCP_IDLE_TIMEOUT_MS = 10_000
/** A client that asks and does not read is cut. */
const MAX_UNREAD_BYTES = 256 * 1024
const BIND_ATTEMPTS = 10

export interface DnsServer {
  address: string
  port: number
  close(): Promise<void>
}

/**
 * Answers queries over UDP and TCP, on one port number, to sandboxes that are known by their address.
 * @param port 0: any
 */
export async function startDnsServer(
  { address, port }: { address: string; port: number },
  sandboxes: Sandboxes,
  queries: Queries,
): Promise<DnsServer> {
  for (let attempt = 1; ; attempt++) {
    const udp = await bindUdp(address, port)
    const bound = udp.address().port
    try {
      const connections = new Set<Socket>()
      const tcp = await listenTcp(address, bound, acceptTcp(sandboxes, queries, connections))
      serveUdp(udp, sandboxes, queries)
      return { address, port: bound, close: () => closeAll(udp, tcp, connections) }
    } catch (error) {
      udp.close()
      // the number that was free for UDP is taken for TCP
      if (port !== 0 || attempt === BIND_ATTEMPTS) throw error
    }
  }
}

function serveUdp(udp: UdpSocket, sandboxes: Sandboxes, queries: Queries): void {
  udp.on('error', () => {})
  udp.on('message', async (message, from) => {
    const sandbox = sandboxes.find(from.address)
    if (!sandbox || message.length > MAX_QUERY_BYTES) return
    const reply = await queries.answer(sandbox, message, 'udp')
    if (reply && sandboxes.find(from.address) === sandbox) udp.send(reply, from.port, from.address, () => {})
  })
}

function acceptTcp(sandboxes: Sandboxes, queries: Queries, connections: Set<Socket>) {
  const countBySandbox = new WeakMap<Sandbox, number>()
  return (socket: Socket): void => {
    socket.on('error', () => {})
    const sandbox = socket.remoteAddress === undefined ? undefined : sandboxes.find(socket.remoteAddress)
    const count = sandbox ? (countBySandbox.get(sandbox) ?? 0) : 0
    if (!sandbox || count >= MAX_TCP_CONNECTIONS_PER_SANDBOX || connections.size >= MAX_TCP_CONNECTIONS) {
      socket.destroy()
      return
    }
    connections.add(socket)
    countBySandbox.set(sandbox, count + 1)
    socket.once('close', () => {
      connections.delete(socket)
      countBySandbox.set(sandbox, countBySandbox.get(sandbox)! - 1)
    })
    socket.setTimeout(TCP_IDLE_TIMEOUT_MS, () => socket.destroy())
    const reader = new MessageReader(MAX_QUERY_BYTES, async (message) => {
      const reply = await queries.answer(sandbox, Buffer.from(message), 'tcp')
      if (!reply || socket.destroyed) return
      socket.write(withLength(reply))
      if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy()
    })
    socket.on('data', (chunk) => {
      if (!reader.add(chunk)) socket.destroy()
    })
  }
}

function bindUdp(address: string, port: number): Promise<UdpSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4')
    socket.once('error', reject)
    socket.bind(port, address, () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

function listenTcp(address: string, port: number, onConnection: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true }, onConnection)
    server.once('error', reject)
    server.listen(port, address, () => {
      server.off('error', reject)
      resolve(server)
    })
  })
}

async function closeAll(udp: UdpSocket, tcp: Server, connections: Set<Socket>): Promise<void> {
  const closed = [
    new Promise<void>((resolve) => udp.close(() => resolve())),
    new Promise<void>((resolve) => tcp.close(() => resolve())),
  ]
  for (const socket of connections) socket.destroy()
  await Promise.all(closed)
}
