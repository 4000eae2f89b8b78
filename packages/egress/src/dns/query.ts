import { type Answer, decode, encode, type Question, RECURSION_AVAILABLE } from 'dns-packet'

export const RCODE = {
  formatError: 1,
  serverFailure: 2,
  nameNotFound: 3,
  notImplemented: 4,
  refused: 5,
} as const

const HEADER_BYTES = 12
const RESPONSE = 0x8000
const OPCODE = 0x7800
const RECURSION_DESIRED_OR_CHECKING_DISABLED = 0x0110
const TRUNCATED = 0x0200
const MIN_UDP_BYTES = 512
/** Larger answers would be fragmented on their way (DNS flag day 2020). */
const MAX_UDP_BYTES = 1_232
const MAX_TCP_BYTES = 0xffff

/** A query, as far as it was understood. */
export interface Query {
  id: number
  flags: number
  /** Absent when the query must be answered with `error`. */
  question?: Question
  error?: number
  /** The client knows EDNS. */
  hasEdns: boolean
  /** Longest answer that the client takes over UDP. */
  maxUdpBytes: number
}

/** Answer to a query without the parts that repeat it. */
export interface Reply {
  rcode: number
  answers: Answer[]
  authorities: Answer[]
}

/** @returns undefined for what gets no answer, such as an answer */
export function readQuery(message: Buffer): Query | undefined {
  if (message.length < HEADER_BYTES) return undefined
  const id = message.readUInt16BE(0)
  const flags = message.readUInt16BE(2)
  if (flags & RESPONSE) return undefined
  const plain = { id, flags, hasEdns: false, maxUdpBytes: MIN_UDP_BYTES }
  if (flags & OPCODE) return { ...plain, error: RCODE.notImplemented }
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) => message.readUInt16BE(at))
  if (questions !== 1 || answers !== 0 || authorities !== 0 || additionals! > 2)
    return { ...plain, error: RCODE.formatError }
  try {
    const packet = decode(message)
    const opt = packet.additionals?.find((record) => record.type === 'OPT')
    const offered = opt ? (opt as { udpPayloadSize: number }).udpPayloadSize : MIN_UDP_BYTES
    return {
      ...{ id, flags, question: packet.questions![0]!, hasEdns: opt !== undefined },
      maxUdpBytes: Math.min(MAX_UDP_BYTES, Math.max(MIN_UDP_BYTES, offered)),
    }
  } catch {
    return { ...plain, error: RCODE.formatError }
  }
}

/** Writes an answer. One that does not fit is cut to nothing with the flag that makes clients ask over TCP. */
export function formatReply(query: Query, reply: Reply, transport: 'udp' | 'tcp'): Buffer {
  const write = (flags: number, answers: Answer[], authorities: Answer[]): Buffer =>
    encode({
      type: 'response',
      id: query.id,
      flags:
        (query.flags & RECURSION_DESIRED_OR_CHECKING_DISABLED) | RECURSION_AVAILABLE | flags | reply.rcode,
      questions: query.question ? [query.question] : [],
      answers,
      authorities,
      additionals: query.hasEdns ? [edns(MAX_UDP_BYTES)] : [],
    })
  const message = write(0, reply.answers, reply.authorities)
  if (message.length <= (transport === 'udp' ? query.maxUdpBytes : MAX_TCP_BYTES)) return message
  return write(TRUNCATED, [], [])
}

/** The record that tells how long UDP messages may be (RFC 6891). */
export const edns = (udpPayloadSize: number): Answer => ({
  ...{ type: 'OPT', name: '.', udpPayloadSize, extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false },
  options: [],
})
