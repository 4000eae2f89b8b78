import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Lane } from './lane.ts'

const never = new AbortController().signal

test('bodies run one at a time, in the order of arrival', async () => {
  const lane = new Lane(8)
  const log: string[] = []
  const body = (name: string) => async () => {
    log.push(`${name} starts`)
    await turn()
    log.push(`${name} ends`)
  }
  await Promise.all(['a', 'b', 'c'].map((name) => lane.run(never, body(name))))
  expect(log).toEqual(['a starts', 'a ends', 'b starts', 'b ends', 'c starts', 'c ends'])
})

test('the body of a caller that leaves the queue is not run, and later callers move up', async () => {
  const lane = new Lane(8)
  const gate = Promise.withResolvers<void>()
  const leaver = new AbortController()
  const first = lane.run(never, () => gate.promise)
  const second = lane.run(leaver.signal, async () => 'ran')
  const third = lane.run(never, async () => 'third')
  leaver.abort(new Error('gone'))
  await expect(second).rejects.toThrow('gone')
  gate.resolve()
  await first
  expect(await third).toBe('third')
})

test('the next body runs after a failed one', async () => {
  const lane = new Lane(8)
  const failed = lane.run(never, () => Promise.reject(new Error('broken')))
  const next = lane.run(never, async () => 'next')
  await expect(failed).rejects.toThrow('broken')
  expect(await next).toBe('next')
})

test('a full queue refuses with 429', async () => {
  const lane = new Lane(1)
  const gate = Promise.withResolvers<void>()
  const running = [lane.run(never, () => gate.promise), lane.run(never, async () => {})]
  await expect(lane.run(never, async () => {})).rejects.toMatchObject({ status: 429 })
  gate.resolve()
  await Promise.all(running)
})
