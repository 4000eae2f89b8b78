import type { Answer, DecodedPacket, Question } from 'dns-packet'
import { hostName } from '../names.ts'
import type { ClosedRanges } from '../ranges.ts'
import { RateLimiter } from '../rate-limiter.ts'
import type { Recorder, RecordOutcome } from '../recorder.ts'
import type { Sandbox } from '../sandboxes.ts'
import { formatReply, type Query, RCODE, type Reply, readQuery } from './query.ts'
import { askUpstream, type UpstreamServer } from './upstream.ts'

const DNS_PORT = 53
/** Queries of one sandbox: those beyond get no answer, and clients ask again. */
const QUERIES_PER_SECOND = 1_000
const QUERY_BURST = 5_000
const FLOODED = { protocol: 'dns', bytesIn: 0, verdict: 'denied', rule: 'query rate' } as const
/** Sandboxes are IPv4-only. HTTPS and SVCB records would give clients keys to hide the names that policies look at. */
const EMPTY_TYPES = new Set(['AAAA', 'HTTPS', 'SVCB', 'UNKNOWN_64', 'UNKNOWN_65'])
/** In front of the name that a service belongs to (`_http._tcp.`): apt asks for those first. */
const SERVICE_LABELS = /^(?:_[^.]*\.)+/
/** Zone transfers, all types at once, and reverse names, which belong to nobody whom a policy names. */
const REFUSED_TYPES = new Set(['ANY', '*', 'AXFR', 'IXFR', 'PTR', 'UNKNOWN_255'])

export interface QueriesOptions {
  recorder: Recorder
  closed: ClosedRanges
  /** Asked for sandboxes whose policy names no servers. */
  upstream: UpstreamServer[]
  /** Queries of one sandbox that wait for an answer. */
  maxPerSandbox: number
  maxInTotal: number
}

type Result = Reply & Pick<RecordOutcome, 'verdict' | 'rule' | 'reason'>

/** Answers the queries of sandboxes by their policies. */
export class Queries {
  readonly #options: QueriesOptions
  readonly #waiting = new WeakMap<Sandbox, number>()
  readonly #rate = new RateLimiter<Sandbox>(QUERIES_PER_SECOND, QUERY_BURST)
  #waitingInTotal = 0

  constructor(options: QueriesOptions) {
    this.#options = options
  }

  /** @returns undefined for a message that gets no answer */
  async answer(sandbox: Sandbox, message: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    const startedAtMs = Date.now()
    const origin = { owner: sandbox.owner, port: DNS_PORT, startedAtMs }
    const rate = this.#rate.take(sandbox)
    if (!rate.mayPass) {
      if (rate.isToldNow) this.#options.recorder.record(origin, { ...FLOODED, bytesOut: message.length })
      return undefined
    }
    const query = readQuery(message)
    if (!query) return undefined
    if (!query.question) return formatReply(query, empty(query.error ?? RCODE.formatError), transport)
    const result = await this.#admit(sandbox, query.question)
    const reply = format(query, result, transport)
    this.#options.recorder.record(origin, {
      ...{ protocol: 'dns', name: printable(query.question.name) },
      ...{ bytesOut: message.length, bytesIn: reply.length },
      ...{ verdict: result.verdict, rule: result.rule },
      ...(result.reason !== undefined && { reason: result.reason }),
    })
    return reply
  }

  async #admit(sandbox: Sandbox, question: Question): Promise<Result> {
    const waiting = this.#waiting.get(sandbox) ?? 0
    if (waiting >= this.#options.maxPerSandbox || this.#waitingInTotal >= this.#options.maxInTotal)
      return { ...empty(RCODE.serverFailure), verdict: 'denied', rule: 'query limit' }
    this.#waiting.set(sandbox, waiting + 1)
    this.#waitingInTotal++
    try {
      return await this.#decide(sandbox, question)
    } finally {
      this.#waiting.set(sandbox, this.#waiting.get(sandbox)! - 1)
      this.#waitingInTotal--
    }
  }

  async #decide({ policy }: Sandbox, question: Question): Promise<Result> {
    const name = hostName(question.name)
    const rule = name === undefined ? undefined : policy.ruleForQuery(name.replace(SERVICE_LABELS, ''))
    if (name === undefined || rule === undefined) return refused('name not allowed')
    if (question.class !== 'IN' || REFUSED_TYPES.has(question.type)) return refused(`type ${question.type}`)
    if (policy.dnsServers?.length === 0) return refused('no DNS servers')
    if (EMPTY_TYPES.has(question.type)) return { ...empty(0), verdict: 'allowed', rule }
    const servers = this.#serversOf(policy.dnsServers)
    if (servers.length === 0)
      return { ...empty(RCODE.refused), verdict: 'failed', rule, reason: 'private_address' }
    return this.#forward(servers, question, rule)
  }

  #serversOf(own: string[] | undefined): UpstreamServer[] {
    if (!own) return this.#options.upstream
    return own
      .filter((address) => !this.#options.closed.has(address))
      .map((address) => ({ address, port: DNS_PORT }))
  }

  async #forward(servers: UpstreamServer[], question: Question, rule: string): Promise<Result> {
    const failed = (rcode: number, reason: string): Result => ({
      ...{ ...empty(rcode), verdict: 'failed', rule, reason },
    })
    try {
      const packet = await askUpstream(servers, question)
      const rcode = (packet as { rcode?: string }).rcode
      const records = recordsOf(packet, question.name)
      if (rcode === 'NXDOMAIN') return { ...failed(RCODE.nameNotFound, 'name_not_found'), ...records }
      if (rcode !== 'NOERROR') return failed(RCODE.serverFailure, 'name_lookup_failed')
      return { rcode: 0, ...records, verdict: 'allowed', rule }
    } catch {
      return failed(RCODE.serverFailure, 'name_lookup_failed')
    }
  }
}

/**
 * The records that an answer is made of, without additional ones, which nobody asked for.
 * @param name as the client wrote it: the server was asked in random case
 */
function recordsOf(packet: DecodedPacket, name: string): { answers: Answer[]; authorities: Answer[] } {
  const isAsked = (other: string) => other.toLowerCase() === name.toLowerCase()
  return {
    answers: (packet.answers ?? []).map((record) => (isAsked(record.name) ? { ...record, name } : record)),
    authorities: (packet.authorities ?? []).filter(({ type }) => type === 'SOA'),
  }
}

const empty = (rcode: number): Reply => ({ rcode, answers: [], authorities: [] })

const refused = (rule: string): Result => ({ ...empty(RCODE.refused), verdict: 'denied', rule })

/** A question or a record of a hostile client or server may be impossible to write again. */
function format(query: Query, result: Result, transport: 'udp' | 'tcp'): Buffer {
  try {
    return formatReply(query, result, transport)
  } catch {
    return formatReply({ ...query, question: undefined }, empty(RCODE.serverFailure), transport)
  }
}

/** Names of hostile clients hold any bytes; records are shown in terminals. */
const printable = (name: string): string =>
  name
    .slice(0, 253)
    .toLowerCase()
    .replace(/[^\x21-\x7e]/g, '?')
