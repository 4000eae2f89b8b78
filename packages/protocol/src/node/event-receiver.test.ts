import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { EventLog } from './event-log.ts'
import { EventReceiver } from './event-receiver.ts'
import type { EventPosition, NodeEvent, SentEvent } from './events.ts'

const exit = (machineId: string): NodeEvent => ({ type: 'exit', machineId, reason: 'it died' })

let log: EventLog
let acknowledged: number[]
let errors: unknown[]
let handled: string[]
let receiver: EventReceiver
/** How many of the next acknowledgements fail. */
let failAcknowledge = 0

beforeEach(() => {
  errors = []
  log = new EventLog((error) => errors.push(error))
  acknowledged = []
  failAcknowledge = 0
  handled = []
  receiver = new EventReceiver(
    {
      subscribe: (after, receive) => log.subscribe(after, receive),
      async acknowledge(position: EventPosition) {
        if (failAcknowledge-- > 0) throw new Error('the connection broke')
        acknowledged.push(position.sequence)
        log.acknowledge(position)
      },
    },
    (error) => errors.push(error),
  )
})

const kept = (): number => {
  const sent: SentEvent[] = []
  log.subscribe(undefined, (one) => sent.push(one)).close()
  return sent.length
}
const settle = () => new Promise(setImmediate)

test('an event is acknowledged when it and all before it are recorded', async () => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  receiver.on('exit', ({ machineId }) => {
    handled.push(machineId)
    return gates[Number(machineId)]!.promise
  })
  receiver.start()
  log.emit(exit('0'))
  log.emit(exit('1'))
  gates[1]!.resolve()
  await settle()
  expect([handled, acknowledged.filter((sequence) => sequence > 0)]).toEqual([['0', '1'], []])
  gates[0]!.resolve()
  await settle()
  expect(acknowledged.at(-1)).toBe(2)
})

test('an event that is sent again after a lost connection is handled once', async () => {
  const never = new Promise<void>(() => {})
  receiver.on('exit', ({ machineId }) => {
    handled.push(machineId)
    return never
  })
  receiver.start()
  log.emit(exit('0'))
  receiver.close()
  log.emit(exit('1'))
  receiver.start()
  await settle()
  expect(handled).toEqual(['0', '1'])
  receiver.close()
  expect(kept()).toBe(2)
})

test('an event that a process did not record before it ended is sent to the next process', async () => {
  receiver.on('exit', () => new Promise<void>(() => {}))
  receiver.start()
  log.emit(exit('0'))
  await settle()
  receiver.close()
  const next = new EventReceiver(
    {
      subscribe: (after, receive) => log.subscribe(after, receive),
      acknowledge: async (position) => log.acknowledge(position),
    },
    (error) => errors.push(error),
  )
  next.on('exit', async ({ machineId }) => void handled.push(machineId))
  next.start()
  await settle()
  next.close()
  expect([handled, kept()]).toEqual([['0'], 0])
})

test('a failing handler is reported, and its event is not sent again for ever', async () => {
  receiver.on('exit', async () => {
    throw new Error('no')
  })
  receiver.on('exit', () => {
    throw new Error('neither')
  })
  receiver.start()
  log.emit(exit('0'))
  await settle()
  receiver.close()
  expect([errors.length, kept()]).toEqual([2, 0])
})

test('events of a restarted node are handled although their numbers begin again', async () => {
  receiver.on('exit', ({ machineId }) => void handled.push(machineId))
  receiver.start()
  log.emit(exit('0'))
  log = new EventLog((error) => errors.push(error))
  receiver.start()
  log.emit(exit('1'))
  await settle()
  expect(handled).toEqual(['0', '1'])
})

describe('an acknowledgement that fails', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  test('is sent again after 1, 2 and 4 seconds, although no other event comes', async () => {
    receiver.on('exit', ({ machineId }) => void handled.push(machineId))
    failAcknowledge = 3
    receiver.start()
    log.emit(exit('0'))
    await settle()
    for (const [ms, failures] of [
      [999, 1],
      [1, 2],
      [1_999, 2],
      [1, 3],
      [3_999, 3],
    ]) {
      await vi.advanceTimersByTimeAsync(ms!)
      expect([errors.length, acknowledged]).toEqual([failures, []])
    }
    await vi.advanceTimersByTimeAsync(1)
    expect([handled, acknowledged]).toEqual([['0'], [1]])
    await vi.advanceTimersByTimeAsync(600_000)
    expect(acknowledged).toEqual([1])
  })

  test('is not sent any more after close, but again with the next start', async () => {
    receiver.on('exit', () => {})
    failAcknowledge = 1
    receiver.start()
    log.emit(exit('0'))
    await settle()
    receiver.close()
    await vi.advanceTimersByTimeAsync(600_000)
    expect([errors.length, acknowledged]).toEqual([1, []])
    receiver.start()
    await settle()
    expect(acknowledged).toEqual([1])
  })
})
