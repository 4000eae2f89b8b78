import { beforeEach, expect, test } from 'vitest'
import type { TcpFlow } from './conntrack-socket.ts'
import { type EndedConnection, TrackedConnections } from './tracked-connections.ts'

const MARK = 7
let ended: Array<EndedConnection<string>>
let tracked: TrackedConnections<string>
let closed: TcpFlow[]
beforeEach(() => {
  ended = []
  closed = []
  tracked = new TrackedConnections<string>({
    ignoredMark: MARK,
    ignoredPeer: '169.254.53.53',
    note: (source) => (source === '10.1.0.2' ? 'sandbox' : undefined),
    onEnd: (one) => ended.push(one),
    onClosed: (flow) => closed.push(flow),
    onForgotten: (id) => {
      closed = closed.filter((flow) => flow.id !== id)
    },
  })
})

interface Line {
  seconds: number
  event: 'NEW' | 'UPDATE' | 'DESTROY'
  state?: string
  source?: string
  peer?: string
  flags?: string
  more?: string
}
/** Writes a line as `conntrack -E -o timestamp,id` does. */
const line = ({
  seconds,
  event,
  state = 'TIME_WAIT',
  source = '10.1.0.2',
  peer = '11.0.0.1',
  flags = '',
  more = '',
}: Line) =>
  tracked.onLine(
    `[${seconds.toFixed(6)}]\t[${event}] tcp      6 ${event === 'DESTROY' ? '' : '120 '}${state} src=${source} dst=11.0.0.1 sport=5 dport=443 packets=4 bytes=100 ${flags} src=${peer} dst=12.0.0.1 sport=443 dport=5 packets=3 bytes=2000 ${more} id=9`,
  )

test('a connection that ended is reported with its begin, without the time that the kernel waits afterwards', () => {
  line({ seconds: 1000, event: 'NEW', state: 'SYN_SENT' })
  line({ seconds: 1130, event: 'DESTROY', more: '[ASSURED]' })
  expect(ended).toEqual([
    {
      ...{ note: 'sandbox', startedAtMs: 1_000_000, durationMs: 10_000 },
      ...{ protocol: 'tcp', address: '11.0.0.1', port: 443, bytesOut: 100, bytesIn: 2000 },
    },
  ])
})

const FLOW = { id: 9, source: '10.1.0.2', address: '11.0.0.1', sourcePort: 5, port: 443 }

test.each(['TIME_WAIT', 'CLOSE'])(
  'a connection that closed (%s) is named until it is forgotten, and ended when it closed',
  (state) => {
    line({ seconds: 1000, event: 'NEW', state: 'SYN_SENT' })
    for (const opening of ['SYN_RECV', 'ESTABLISHED', 'FIN_WAIT', 'CLOSE_WAIT', 'LAST_ACK'])
      line({ seconds: 1001, event: 'UPDATE', state: opening })
    expect(closed).toEqual([])
    line({ seconds: 1004, event: 'UPDATE', state, more: '[ASSURED]' })
    expect(closed).toEqual([FLOW])
    expect(ended).toEqual([])
    line({ seconds: 1006, event: 'DESTROY', state, more: '[ASSURED]' })
    expect(closed).toEqual([])
    expect(ended).toMatchObject([{ startedAtMs: 1_000_000, durationMs: 4_000, bytesIn: 2000 }])
  },
)

test('a connection that began before anybody listened is named when it closes, and recorded once', () => {
  line({ seconds: 1004, event: 'UPDATE', more: '[ASSURED]' })
  expect(closed).toEqual([FLOW])
  line({ seconds: 1006, event: 'DESTROY', more: '[ASSURED]' })
  expect(ended).toMatchObject([{ startedAtMs: 1_004_000, durationMs: 0 }])
})

test('a connection whose begin was missed is reported from its end', () => {
  line({ seconds: 1000, event: 'DESTROY', more: '[ASSURED]' })
  expect(ended).toMatchObject([{ note: 'sandbox', startedAtMs: 1_000_000, durationMs: 0 }])
})

test.each([
  ['no_answer', { state: 'SYN_SENT', flags: '[UNREPLIED]' }],
  ['connection_refused', { state: 'CLOSE' }],
  [undefined, { state: 'CLOSE', more: '[ASSURED]' }],
])('a connection that never opened says why: %s', (failure, state) => {
  line({ seconds: 1000, event: 'NEW', state: 'SYN_SENT' })
  line({ seconds: 1001, event: 'DESTROY', ...state })
  expect(ended[0]!.failure).toBe(failure)
})

test('connections of others, of the proxy, and to the resolver of the proxy are left out', () => {
  for (const others of [{ source: '10.1.0.6' }, { more: `mark=${MARK}` }, { peer: '169.254.53.53' }])
    for (const event of ['NEW', 'UPDATE', 'DESTROY'] as const) line({ seconds: 1, event, ...others })
  tracked.onLine('conntrack v1.4.7 (conntrack-tools): 10 flow events have been shown.')
  expect(ended).toEqual([])
  expect(closed).toEqual([])
})
