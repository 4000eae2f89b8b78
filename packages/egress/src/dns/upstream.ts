import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import {
  type DecodedPacket,
  decode,
  encode,
  type Question,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from 'dns-packet'
import { edns } from './query.ts'
import { MessageReader, withLength } from './tcp-messages.ts'

/** Asks for answers that no path fragments (DNS flag day 2020). */
const UDP_PAYLOAD_BYTES = 1_232
const HEADER_BYTES = 12
/** Offset of the numbers of records in the header. */
const COUNTS_AFTER_QUESTIONS = 6
const MAX_MESSAGE_BYTES = 0xffff

export interface UpstreamServer {
  address: string
  port: number
}

/** Servers that are asked, each of them twice at most. */
const MAX_SERVERS = 3
const ROUNDS = 2
const TIMEOUT_MS = 1_500

/**
 * Asks servers one after the other, over UDP and, for an answer that does not fit, over TCP. The id, the port and the case
 * of the name are random, so that nobody off the path can answer.
 * @param servers not empty; the first three are asked
 * @throws Error when no server answers within nine seconds
 */
export async function askUpstream(servers: UpstreamServer[], question: Question): Promise<DecodedPacket> {
  const chosen = servers.slice(0, MAX_SERVERS)
  let lastError: unknown
  for (let round = 0; round < ROUNDS; round++) {
    for (const server of chosen) {
      try {
        const answer = await askOverUdp(server, question)
        return answer.flag_tc ? await askOverTcp(server, question) : answer
      } catch (error) {
        lastError = error
      }
    }
  }
  throw lastError
}

function askOverUdp(server: UpstreamServer, question: Question): Promise<DecodedPacket> {
  const query = makeQuery(question)
  return new Promise((resolve, reject) => {
    // a socket of its own has a random port, and connected to the server it takes packets from nobody else
    const socket = createSocket('udp4')
    let isFinished = false
    const finish = (error: unknown, answer?: DecodedPacket) => {
      if (isFinished) return
      isFinished = true
      clearTimeout(timer)
      socket.close()
      if (answer) resolve(answer)
      else reject(error)
    }
    const timer = setTimeout(() => finish(timedOut(server)), TIMEOUT_MS)
    socket.on('error', finish)
    socket.on('message', (message) => {
      const answer = readAnswer(message, query)
      if (answer) finish(undefined, answer)
    })
    socket.connect(server.port, server.address, () => socket.send(query.bytes))
  })
}

function askOverTcp(server: UpstreamServer, question: Question): Promise<DecodedPacket> {
  const query = makeQuery(question)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server.address, port: server.port, noDelay: true })
    const finish = (error: unknown, answer?: DecodedPacket) => {
      clearTimeout(timer)
      socket.destroy()
      if (answer) resolve(answer)
      else reject(error)
    }
    const timer = setTimeout(() => finish(timedOut(server)), TIMEOUT_MS)
    const reader = new MessageReader(MAX_MESSAGE_BYTES, (message) => {
      const answer = readAnswer(message, query)
      finish(new Error(`${server.address} gave an answer to another question`), answer)
    })
    socket.on('error', finish)
    socket.once('close', () => finish(new Error(`${server.address} closed the connection`)))
    socket.on('data', (chunk) => reader.add(chunk))
    socket.write(withLength(query.bytes))
  })
}

interface Query {
  id: number
  question: Question
  bytes: Buffer
}

function makeQuery({ name, type }: Question): Query {
  const id = randomInt(0x1_0000)
  const question: Question = { name: inRandomCase(name), type, class: 'IN' }
  const bytes = encode({
    type: 'query',
    id,
    flags: RECURSION_DESIRED,
    questions: [question],
    additionals: [edns(UDP_PAYLOAD_BYTES)],
  })
  return { id, question, bytes }
}

/** Returns undefined for what does not answer the query: forged, late or broken. */
function readAnswer(message: Buffer, { id, question }: Query): DecodedPacket | undefined {
  try {
    const packet = decode(withoutCutRecords(message))
    const asked = packet.questions?.[0]
    const isAnswer =
      packet.type === 'response' &&
      packet.id === id &&
      packet.questions?.length === 1 &&
      asked?.name === question.name &&
      asked.type === question.type
    return isAnswer ? packet : undefined
  } catch {
    return undefined
  }
}

/** Some servers cut a truncated answer in the middle of a record; only its question is read. */
function withoutCutRecords(message: Buffer): Buffer {
  const isTruncated = message.length >= HEADER_BYTES && (message.readUInt16BE(2) & TRUNCATED_RESPONSE) !== 0
  if (!isTruncated) return message
  const head = Buffer.from(message)
  return head.fill(0, COUNTS_AFTER_QUESTIONS, HEADER_BYTES)
}

const inRandomCase = (name: string): string =>
  name.replace(/[a-z]/gi, (letter) => (randomInt(2) === 0 ? letter.toLowerCase() : letter.toUpperCase()))

const timedOut = ({ address, port }: UpstreamServer): Error =>
  new Error(`${address}:${port} did not answer within ${TIMEOUT_MS} ms`)
