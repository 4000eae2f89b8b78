import { beforeEach, expect, test } from 'vitest'
import { type EndedConnection, TrackedConnections } from './tracked-connections.ts'

const MARK = 7
let ended: Array<EndedConnection<string>>
let tracked: TrackedConnections<string>
beforeEach(() => {
  ended = []
  tracked = new TrackedConnections<string>({
    ignoredMark: MARK,
    ignoredPeer: '169.254.53.53',
    note: (source) => (source === '10.1.0.2' ? 'sandbox' : undefined),
    onEnd: (one) => ended.push(one),
  })
})

interface Line {
  seconds: number
  event: 'NEW' | 'DESTROY'
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
    `[${seconds.toFixed(6)}]\t[${event}] tcp      6 ${event === 'NEW' ? '120 ' : ''}${state} src=${source} dst=11.0.0.1 sport=5 dport=443 packets=4 bytes=100 ${flags} src=${peer} dst=12.0.0.1 sport=443 dport=5 packets=3 bytes=2000 ${more} id=9`,
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
    for (const event of ['NEW', 'DESTROY'] as const) line({ seconds: 1, event, ...others })
  tracked.onLine('conntrack v1.4.7 (conntrack-tools): 10 flow events have been shown.')
  expect(ended).toEqual([])
})
