/**
 * A process that sends and answers packets in a network namespace, for tests. The parent calls its methods by IPC:
 * `{ id, method, args }` is answered by `{ id, result }` or `{ id, error }`.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { connect, createServer, type Socket } from 'node:net'

/** What became of a connection: what was first received, or the code of an error, or `timeout`. */
export interface Attempt {
  outcome: string
  ms: number
}

const [SOL_IP, IP_TRANSPARENT] = [0, 19]
const held = new Map<string, Socket>()
const accepted: string[] = []
const sockets = new Set<Socket>()

const methods = {
  /** Answers TCP connections with a greeting and then with what arrives, and UDP with what arrives. */
  async serve({ host = '0.0.0.0', tcp = [], udp = [], isTransparent = false }: ServeOptions) {
    const ports: number[] = []
    for (const port of tcp) {
      const server = createServer((socket) => {
        accepted.push(`${socket.remoteAddress} ${socket.localAddress}:${socket.localPort}`)
        socket.on('error', () => {}).write(`hello from ${socket.localAddress}:${socket.localPort}`)
        socket.pipe(socket)
        sockets.add(socket)
      })
      server.listen(port, host)
      await once(server, 'listening')
      if (isTransparent) makeTransparent((server as unknown as { _handle: { fd: number } })._handle.fd)
      ports.push((server.address() as { port: number }).port)
    }
    for (const port of udp) {
      const socket = createSocket('udp4')
      socket.on('message', (message, { address, port: from }) => {
        accepted.push(`${address} udp:${port}`)
        socket.send(message, from, address)
      })
      socket.bind(port, host)
      await once(socket, 'listening')
    }
    return ports
  },

  /** Connections and datagrams that `serve` has seen: the remote end, and the local one. */
  accepted: async () => accepted.splice(0),

  /** Resets all connections that `serve` has accepted. */
  async reset(): Promise<void> {
    for (const socket of sockets) socket.resetAndDestroy()
    sockets.clear()
  },

  async tcp({ address, port, localAddress, hold, timeoutMs = 1500 }: TcpOptions): Promise<Attempt> {
    const started = performance.now()
    const socket = connect({ host: address, port, localAddress })
    const outcome = await new Promise<string>((resolve) => {
      setTimeout(() => resolve('timeout'), timeoutMs).unref()
      socket.once('data', (data) => resolve(String(data)))
      socket.once('error', (error) => resolve((error as { code?: string }).code ?? String(error)))
    })
    if (hold)
      held.set(
        hold,
        socket.on('error', () => {}),
      )
    else socket.destroy()
    return { outcome, ms: performance.now() - started }
  },

  /** Sends over a connection that `tcp` holds. @returns what came back, or `cut`, or `timeout` */
  async talk(hold: string, text: string, timeoutMs = 1500): Promise<string> {
    const socket = held.get(hold)!
    if (socket.destroyed) return 'cut'
    return new Promise((resolve) => {
      setTimeout(() => resolve('timeout'), timeoutMs).unref()
      socket.once('data', (data) => resolve(String(data)))
      socket.once('close', () => resolve('cut'))
      socket.write(text)
    })
  },

  /** Ends a connection that `tcp` holds, and waits for the other end to do so too. @param isReset whether by a reset */
  async hangUp(hold: string, isReset = false): Promise<void> {
    const socket = held.get(hold)!
    held.delete(hold)
    if (isReset) socket.resetAndDestroy()
    else {
      const closed = once(socket, 'close')
      socket.end()
      await closed
    }
  },

  async udp({
    address,
    port,
    text = 'ping',
    localAddress,
    sourcePort,
    timeoutMs = 1500,
  }: UdpOptions): Promise<Attempt> {
    const started = performance.now()
    const socket = createSocket('udp4')
    socket.bind(sourcePort, localAddress)
    await once(socket, 'listening')
    const outcome = await new Promise<string>((resolve) => {
      setTimeout(() => resolve('timeout'), timeoutMs).unref()
      socket.once('error', (error) => resolve((error as { code?: string }).code ?? String(error)))
      // a connected socket hears of ICMP errors
      socket.connect(port, address, () => socket.send(text))
      socket.once('message', (message) => resolve(String(message)))
    })
    socket.close()
    return { outcome, ms: performance.now() - started }
  },
}

export type PacketAgent = typeof methods

export interface ServeOptions {
  host?: string
  tcp?: number[]
  udp?: number[]
  /** Whether the TCP servers take connections to any address that the kernel hands them. */
  isTransparent?: boolean
}
export interface TcpOptions {
  address: string
  port: number
  localAddress?: string
  /** Keeps the connection open under this name. */
  hold?: string
  timeoutMs?: number
}
export interface UdpOptions {
  address: string
  port: number
  text?: string
  localAddress?: string
  sourcePort?: number
  timeoutMs?: number
}

function makeTransparent(fd: number): void {
  const koffi = createRequire(import.meta.url)('koffi')
  const setsockopt = koffi.load('libc.so.6').func('int setsockopt(int, int, int, int *, unsigned int)')
  if (setsockopt(fd, SOL_IP, IP_TRANSPARENT, [1], 4) !== 0) throw new Error('IP_TRANSPARENT was refused')
}

process.on(
  'message',
  async ({ id, method, args }: { id: number; method: keyof PacketAgent; args: never[] }) => {
    try {
      const result = await (methods[method] as (...args: never[]) => Promise<unknown>)(...args)
      process.send!({ id, result })
    } catch (error) {
      process.send!({ id, error: String(error) })
    }
  },
)
process.on('disconnect', () => process.exit())
process.send!({ id: 0 })
