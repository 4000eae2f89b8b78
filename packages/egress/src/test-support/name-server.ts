import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { type Answer, decode, encode, type RecordType } from 'dns-packet'
import { withLength } from '../dns/tcp-messages.ts'

/** A DNS server that answers from a table. */
export interface NameServer {
  /** `address:port`. */
  address: string
  /** By `name TYPE`; may be changed. */
  records: Map<string, Answer[]>
  /** Names that were asked for, lower-case, with their types. */
  questions: string[]
  /** Gives no answers. */
  isSilent: boolean
  /** Answers over UDP come so late. */
  delayMs: number
  close(): Promise<void>
}

export async function startNameServer(host = '127.0.0.1'): Promise<NameServer> {
  const socket = createSocket('udp4')
  const records: NameServer['records'] = new Map()
  const questions: string[] = []
  const answerTo = (message: Buffer): Buffer | undefined => {
    const { id, questions: asked } = decode(message)
    const question = asked![0]!
    const key = `${question.name.toLowerCase()} ${question.type}`
    questions.push(key)
    if (state.isSilent) return undefined
    const answers = records.get(key)
    const isKnown = [...records.keys()].some((other) => other.startsWith(`${question.name.toLowerCase()} `))
    return encode({
      type: 'response',
      ...{ id, questions: [question], answers: answers ?? [] },
      flags: 0x0180 | (answers || isKnown ? 0 : 3),
    })
  }
  socket.on('message', (message, from) => {
    const answer = answerTo(message)
    if (!answer) return
    const isTooLong = answer.length > 1_232
    if (isTooLong) answer[2]! |= 0x02
    const sent = isTooLong ? answer.subarray(0, 1_232) : answer
    setTimeout(() => socket.send(sent, from.port, from.address), state.delayMs)
  })
  await new Promise<void>((resolve) => socket.bind(0, host, resolve))
  const { port } = socket.address()
  const tcp = createServer((client) => {
    client.on('error', () => {})
    client.once('data', (message) => client.end(withLength(answerTo(message.subarray(2)) ?? Buffer.alloc(0))))
  })
  await new Promise<void>((resolve) => tcp.listen(port, host, resolve))
  const state: NameServer = {
    ...{ address: `${host}:${port}`, records, questions, isSilent: false, delayMs: 0 },
    async close() {
      await new Promise<void>((resolve) => socket.close(resolve))
      await new Promise((resolve) => tcp.close(resolve))
    },
  }
  return state
}

export const a = (name: string, ...addresses: string[]): [string, Answer[]] => [
  `${name} A`,
  addresses.map((data) => ({ type: 'A' satisfies RecordType, name, ttl: 0, data })),
]
