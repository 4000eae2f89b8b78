import { expect, test } from 'vitest'
import type { ConnectionRecord } from './connections.ts'
import { EventLog } from './event-log.ts'
import type { NodeEvent, SentEvent } from './events.ts'

const exit = (machineId: string): NodeEvent => ({ type: 'exit', machineId, reason: 'it died' })
const line = (message: string, buildId = 'b'): NodeEvent => ({
  type: 'buildLog',
  buildId,
  line: { level: 'info', message },
})
const ended = (buildId = 'b'): NodeEvent => ({
  type: 'buildEnded',
  buildId,
  outcome: { error: { message: '' } },
})
const connections = (names: string[], dropped = 0): NodeEvent => ({
  type: 'connections',
  records: names.map((name) => ({ name }) as ConnectionRecord),
  dropped,
})
const samples: NodeEvent = { type: 'samples', samples: [] }
const refused: NodeEvent = { type: 'connectionLimit', refused: [{ teamId: 't', packets: 1 }] }

const fail = (error: unknown) => {
  throw error
}

/** Everything that a new subscriber is sent at once. */
function sentTo(log: EventLog, after?: Pick<SentEvent, 'epoch' | 'sequence'>): NodeEvent[] {
  const sent: NodeEvent[] = []
  log.subscribe(after, ({ event }) => sent.push(event)).close()
  return sent
}

test('events are numbered, and sent in order to each subscriber until they are acknowledged', () => {
  const log = new EventLog(fail)
  const received: SentEvent[] = []
  log.emit(exit('m1'))
  log.subscribe(undefined, (sent) => received.push(sent))
  log.emit(exit('m2'))
  expect(received.map(({ sequence, event }) => [sequence, event])).toEqual([
    [1, exit('m1')],
    [2, exit('m2')],
  ])
  expect(sentTo(log)).toEqual([exit('m1'), exit('m2')])
  expect(sentTo(log, received[0])).toEqual([exit('m2')])
  log.acknowledge(received[0]!)
  expect(sentTo(log)).toEqual([exit('m2')])
  log.acknowledge(received[1]!)
  expect(sentTo(log)).toEqual([])
})

test('a position of another epoch is ignored', () => {
  const log = new EventLog(fail)
  log.emit(exit('m1'))
  const other = { epoch: 'of a node before', sequence: 1 }
  log.acknowledge(other)
  expect(sentTo(log, other)).toEqual([exit('m1')])
})

test('a new subscriber replaces the previous one, whose close then has no effect', () => {
  const log = new EventLog(fail)
  const [first, second]: [NodeEvent[], NodeEvent[]] = [[], []]
  const before = log.subscribe(undefined, ({ event }) => first.push(event))
  log.subscribe(undefined, ({ event }) => second.push(event))
  before.close()
  log.emit(exit('m1'))
  expect([first, second]).toEqual([[], [exit('m1')]])
})

test.each([samples, refused])('$type are sent to the current subscriber, and not kept', (event) => {
  const log = new EventLog(fail)
  log.emit(event)
  const received: SentEvent[] = []
  log.subscribe(undefined, (sent) => received.push(sent))
  log.emit(event)
  expect(received).toMatchObject([{ isKept: false, sequence: 0, event }])
})

test('lines beyond the limit are replaced by one line with their number; exits and ends are never dropped', () => {
  const log = new EventLog(fail, { lines: 2, bytes: 1000 })
  for (const message of ['1', '2', '3', '4']) log.emit(line(message))
  log.emit(exit('m1'))
  log.emit(ended())
  const missing = { level: 'warn' as const, message: expect.stringMatching(/^2 lines are missing/) }
  expect(sentTo(log)).toEqual([
    line('1'),
    line('2'),
    exit('m1'),
    { type: 'buildLog', buildId: 'b', line: missing },
    ended(),
  ])
})

test('a new subscriber is told of missing lines at once while the build is running', () => {
  const log = new EventLog(fail, { lines: 10, bytes: 3 })
  for (const message of ['one', 'two', 'three']) log.emit(line(message))
  expect(sentTo(log)).toEqual([
    line('one'),
    { type: 'buildLog', buildId: 'b', line: { level: 'warn', message: expect.stringMatching(/^2 lines/) } },
  ])
})

test('a connected subscriber misses no line, however slowly it acknowledges', () => {
  const log = new EventLog(fail, { lines: 2, bytes: 1000 })
  const received: NodeEvent[] = []
  log.subscribe(undefined, ({ event }) => received.push(event))
  const lines = ['1', '2', '3', '4'].map((message) => line(message))
  for (const one of lines) log.emit(one)
  log.emit(ended())
  expect(received).toEqual([...lines, ended()])
})

test('acknowledged lines make room for new ones', () => {
  const log = new EventLog(fail, { lines: 1, bytes: 1000 })
  log.emit(line('1'))
  log.acknowledge({ epoch: log.epoch, sequence: 1 })
  log.emit(line('2'))
  expect(sentTo(log)).toEqual([line('2')])
})

test('a subscriber that throws is reported; the emitter, the events and the next subscriber do not suffer', () => {
  const errors: unknown[] = []
  const log = new EventLog((error) => errors.push(error))
  const heard: NodeEvent[] = []
  const receive = ({ event }: SentEvent) => {
    heard.push(event)
    throw new Error('no')
  }
  log.emit(exit('m1'))
  log.subscribe(undefined, receive)
  log.emit(exit('m2'))
  log.emit(samples)
  expect(heard).toEqual([exit('m1'), exit('m2'), samples])
  expect(errors).toHaveLength(3)
  expect(sentTo(log)).toEqual([exit('m1'), exit('m2')])
})

test('records of connections are kept up to a limit; the next batch counts what was dropped', () => {
  const log = new EventLog(fail, { records: 3 })
  for (const names of [['a', 'b'], ['c', 'd'], ['e'], ['f', 'g']]) log.emit(connections(names, 1))
  const received: SentEvent[] = []
  log.subscribe(undefined, (sent) => received.push(sent))
  expect(received.map(({ event }) => event)).toEqual([
    connections(['a', 'b'], 1),
    connections(['c', 'd'], 1),
    connections([], 5),
  ])
  // a connected subscriber misses none, and what is beyond the limit is not kept
  log.emit(connections(['h']))
  expect(received.at(-1)).toMatchObject({ isKept: false, event: connections(['h']) })
  expect(sentTo(log)).toEqual([connections(['a', 'b'], 1), connections(['c', 'd'], 1)])
})

test('acknowledged records make room for new ones, and a count of dropped ones is sent once', () => {
  const log = new EventLog(fail, { records: 1 })
  log.emit(connections(['a']))
  log.emit(connections(['b']))
  log.acknowledge({ epoch: log.epoch, sequence: 1 })
  log.emit(connections(['c']))
  expect(sentTo(log)).toEqual([connections(['c'], 1)])
  expect(sentTo(log)).toEqual([connections(['c'], 1)])
})

test('a new subscriber is told at once how many records were dropped', () => {
  const log = new EventLog(fail, { records: 0 })
  log.emit(connections(['a']))
  expect(sentTo(log)).toEqual([connections([], 1)])
})
