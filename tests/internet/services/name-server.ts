import dgram from 'node:dgram'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import packet from 'dns-packet'
import type { Records } from './records.ts'
import type { Entry, Zone } from './zone.ts'

const TTL_SECONDS = 0
const FORWARD_TIMEOUT_MS = 5_000

export interface NameServerOptions {
  addresses: string[]
  zone: Zone
  records: Records
  /** Resolver for names outside the zone, such as those of package registries. */
  upstream: string
}

/** Answers DNS queries over UDP and TCP on port 53. Names outside the zone are asked of the machine's own resolver. */
export async function startNameServer(options: NameServerOptions): Promise<void> {
  for (const address of options.addresses) {
    const udp = dgram.createSocket('udp4')
    udp.on('message', (message, peer) => {
      void answer(options, message, address, 'udp').then(
        (reply) => reply && udp.send(reply, peer.port, peer.address),
        () => {},
      )
    })
    udp.bind(53, address)
    await once(udp, 'listening')
  }
  const tcp = net.createServer((socket) => serveTcp(options, socket))
  tcp.listen(53, '0.0.0.0')
  await once(tcp, 'listening')
}

function serveTcp(options: NameServerOptions, socket: net.Socket): void {
  const address = socket.localAddress!
  options.records.add('connections', { address, port: 53 })
  let rest = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
      const end = 2 + rest.readUInt16BE(0)
      const message = rest.subarray(2, end)
      rest = rest.subarray(end)
      void answer(options, message, address, 'tcp').then(
        (reply) => reply && socket.write(framed(reply)),
        () => {},
      )
    }
  })
}

const framed = (message: Buffer): Buffer => {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(message.length)
  return Buffer.concat([length, message])
}

async function answer(
  { zone, records, upstream }: NameServerOptions,
  message: Buffer,
  address: string,
  transport: 'udp' | 'tcp',
): Promise<Buffer | undefined> {
  const query = packet.decode(message)
  const question = query.questions?.[0]
  if (!question) return undefined
  const name = question.name.toLowerCase()
  records.add('queries', { name, type: question.type, transport, address })
  const entry = find(zone, name)
  if (!entry) return name.endsWith('.test') ? missing(query) : forward(message, upstream)
  if (entry.delayMs) await delay(entry.delayMs)
  const isTruncated = entry.isTruncated === true && transport === 'udp'
  return packet.encode({
    type: 'response',
    id: query.id,
    flags:
      packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | (isTruncated ? packet.TRUNCATED_RESPONSE : 0),
    questions: query.questions,
    answers: isTruncated ? [] : answersFor(zone, question, entry),
  })
}

const NXDOMAIN = 3
const missing = ({ id, questions }: packet.Packet): Buffer =>
  packet.encode({ type: 'response', id, flags: packet.RECURSION_AVAILABLE | NXDOMAIN, questions })

/** The entry of a name itself, or the nearest wildcard above it. */
function find(zone: Zone, name: string): Entry | undefined {
  if (zone[name]) return zone[name]
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const entry = zone[`*${name.slice(dot)}`]
    if (entry) return entry
  }
  return undefined
}

function answersFor(zone: Zone, { name, type }: packet.Question, entry: Entry): packet.Answer[] {
  if (entry.cname) {
    const target = zone[entry.cname] ?? {}
    return [
      { name, type: 'CNAME', ttl: TTL_SECONDS, data: entry.cname },
      ...answersFor(zone, { name: entry.cname, type }, target),
    ]
  }
  const list = type === 'A' ? entry.a : type === 'AAAA' ? entry.aaaa : []
  return (list ?? []).map((data) => ({ name, type, ttl: TTL_SECONDS, data }) as packet.Answer)
}

function forward(message: Buffer, upstream: string): Promise<Buffer> {
  const socket = dgram.createSocket('udp4')
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const timer = setTimeout(() => reject(new Error('no answer')), FORWARD_TIMEOUT_MS)
  socket.on('message', resolve).on('error', reject)
  socket.send(message, 53, upstream)
  return promise.finally(() => {
    clearTimeout(timer)
    socket.close()
  })
}
