import { createSocket } from 'node:dgram'
import { type Answer, decode, encode, type RecordType } from 'dns-packet'

/** A DNS server that answers from a table. */
export interface NameServer {
  /** `address:port`. */
  address: string
  /** By `name TYPE`; may be changed. */
  records: Map<string, Answer[]>
  /** Names that were asked for, lower-case, with their types. */
  questions: string[]
  close(): Promise<void>
}

export async function startNameServer(host = '127.0.0.1'): Promise<NameServer> {
  const socket = createSocket('udp4')
  const records: NameServer['records'] = new Map()
  const questions: string[] = []
  socket.on('message', (message, from) => {
    const { id, questions: asked } = decode(message)
    const question = asked![0]!
    const key = `${question.name.toLowerCase()} ${question.type}`
    questions.push(key)
    const answers = records.get(key)
    const isKnown = [...records.keys()].some((other) => other.startsWith(`${question.name.toLowerCase()} `))
    const packet = encode({
      type: 'response',
      ...{ id, questions: [question], answers: answers ?? [] },
      flags: 0x0180 | (answers || isKnown ? 0 : 3),
    })
    socket.send(packet, from.port, from.address)
  })
  await new Promise<void>((resolve) => socket.bind(0, host, resolve))
  return {
    address: `${host}:${socket.address().port}`,
    ...{ records, questions },
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  }
}

export const a = (name: string, ...addresses: string[]): [string, Answer[]] => [
  `${name} A`,
  addresses.map((data) => ({ type: 'A' satisfies RecordType, name, ttl: 0, data })),
]
