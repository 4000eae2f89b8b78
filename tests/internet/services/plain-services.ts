import { spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { createInterface } from 'node:readline'
import tls from 'node:tls'
import { PORTS } from '../addresses.ts'
import type { Certificate } from '../certificate.ts'
import type { Records } from './records.ts'

/** Echo over TCP and UDP, and a protocol in which the server speaks first. */
export async function startEcho(addresses: string[], records: Records): Promise<void> {
  for (const port of PORTS.echo) {
    await listen(port, records, (socket) => socket.pipe(socket))
    // one socket for each address, as an answer must come from the address that was asked
    for (const address of addresses) {
      const udp = dgram.createSocket('udp4')
      udp.on('message', (message, peer) => {
        records.add('datagrams', { address, port, text: String(message) })
        udp.send(message, peer.port, peer.address)
      })
      udp.bind(port, address)
      await once(udp, 'listening')
    }
  }
  await listen(PORTS.serverFirst, records, (socket) => {
    socket.write('220 ready\r\n')
    socket.pipe(socket)
  })
}

async function listen(
  port: number,
  records: Records,
  onConnection: (socket: net.Socket) => void,
): Promise<void> {
  const server = net.createServer((socket) => {
    records.add('connections', { address: socket.localAddress!, port })
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.listen(port, '0.0.0.0', 4_096)
  await once(server, 'listening')
}

/** Debian's microsocks: open, with a password, and that with TLS around it. */
export async function startSocks(records: Records, { key, cert }: Certificate): Promise<void> {
  const start = (...args: string[]) => {
    // ends with this process, also when this process is killed
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'microsocks', ...args], {
      stdio: ['ignore', 'inherit', 'pipe'],
    })
    createInterface({ input: child.stderr! }).on('line', (line) => records.add('socks', line))
  }
  start('-p', String(PORTS.socks))
  start('-p', String(PORTS.socksWithPassword), '-u', 'user', '-P', 'pass')
  const server = tls.createServer({ key, cert }, (socket) => {
    const inner = net.connect(PORTS.socksWithPassword, '127.0.0.1')
    for (const end of [socket, inner]) end.on('error', () => inner.destroy())
    socket.pipe(inner).pipe(socket)
  })
  server.on('tlsClientError', () => {})
  server.listen(PORTS.socksOverTls, '0.0.0.0')
  await once(server, 'listening')
}
