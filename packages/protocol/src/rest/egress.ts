import Type from 'typebox'
import { OneOf, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { SandboxId } from './sandboxes.ts'

export const MAX_EGRESS_RECORDS = 1000
export const DEFAULT_EGRESS_RECORDS = 100
/** Longest time that a request with `follow` waits for a record, in milliseconds. */
export const EGRESS_FOLLOW_MS = 20_000

const Protocol = OneOf(['tcp', 'udp', 'icmp', 'other', 'http', 'https', 'tls', 'dns'], {
  title: 'EgressProtocol',
})
const Verdict = OneOf(['allowed', 'denied', 'failed'], { title: 'EgressVerdict' })

export const EgressRecord = Type.Object(
  {
    recordID: Type.String({ description: 'UUID' }),
    startedAt: Time(),
    durationMs: Type.Integer({ description: 'Milliseconds' }),
    protocol: Protocol,
    name: Type.Optional(
      Type.String({
        description: 'Name of the destination, if one was seen: SNI, Host header or DNS question',
      }),
    ),
    address: Type.Optional(Type.String({ description: 'IPv4 address that the sandbox connected to' })),
    port: Type.Optional(Type.Integer()),
    bytesOut: Type.Integer({ description: 'Bytes that the sandbox sent' }),
    bytesIn: Type.Integer({ description: 'Bytes that the sandbox received' }),
    verdict: Verdict,
    rule: Type.String({
      description: 'What decided, e.g. "allow *.example.com", "deny 0.0.0.0/0", "default" or "closed range"',
    }),
    reason: Type.Optional(
      Type.String({
        description: 'Why it was denied or failed, e.g. tls_rejected_by_client or name_not_found',
      }),
    ),
    http: Type.Optional(
      Type.Object(
        {
          method: Type.String(),
          host: Type.String(),
          path: Type.String({ description: 'Without the query' }),
          status: Type.Optional(Type.Integer()),
        },
        { title: 'EgressHttpRequest', description: 'Only where the proxy reads requests' },
      ),
    ),
  },
  {
    title: 'EgressRecord',
    description:
      'A connection, an HTTP request or a DNS query of a sandbox. Protocols http and https: a request that the proxy read; tls: a connection whose name alone was read. Verdict failed: allowed, but the connection could not be made or was cut',
  },
)
export type EgressRecord = Type.Static<typeof EgressRecord>

const EgressPage = Type.Object(
  {
    records: Type.Array(EgressRecord, { description: 'In the order in which they ended, newest last' }),
    nextCursor: Type.String({
      description: 'cursor of the records after these, also when there are none yet',
    }),
    hasMore: Type.Boolean({ description: 'More records can be read now' }),
  },
  { title: 'EgressPage' },
)
export type EgressPage = Type.Static<typeof EgressPage>

export const listSandboxEgress = {
  operationId: 'listSandboxEgress',
  tags: ['sandboxes'],
  summary: 'List where a sandbox connected to, also after the sandbox has ended',
  description:
    'Recorded for sandboxes with network rules, and for all with the setting recordEgress. The newest 10 000 records of a sandbox are kept, for as long as its events.',
  params: SandboxId,
  querystring: Type.Object({
    cursor: Type.Optional(
      Type.String({
        pattern: '^\\d{1,15}$',
        description: 'nextCursor of an earlier page. Default: the newest records, or from since on',
      }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: MAX_EGRESS_RECORDS,
        default: DEFAULT_EGRESS_RECORDS,
        description: 'Most records of a page',
      }),
    ),
    since: Type.Optional(Type.String({ format: 'date-time', description: 'Only what began then or later' })),
    verdict: Type.Optional(Verdict),
    protocol: Type.Optional(Protocol),
    name: Type.Optional(
      Type.String({ maxLength: 255, description: 'Only this destination; *.name for all names below it' }),
    ),
    follow: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'true: when there is no record, wait up to 20 s for one. Send the next request with nextCursor',
      }),
    ),
  }),
  response: { 200: EgressPage },
  errors: ['not_found', 'store_unavailable'],
} satisfies Operation

export const getMetricsText = {
  operationId: 'getMetricsText',
  tags: ['metrics'],
  summary: "Counters of the team's sandboxes since the start of the server, in the text format of Prometheus",
  description:
    'sandlot_egress_connections_total by verdict and reason; sandlot_egress_records_dropped_total: records that were not kept because there were too many; sandlot_egress_connection_limit_refused_packets_total: packets of all sandboxes, also of those whose connections are not recorded, that were refused because their sandbox had too many connections.',
  produces: ['text/plain'],
  response: { 200: Type.String() },
  errors: [],
} satisfies Operation
