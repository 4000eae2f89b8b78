import { expect, test } from 'vitest'
import { EventLog } from './event-log.ts'

const message = (text: string) => ({ jsonrpc: '2.0' as const, method: 'x', params: { text } })

async function replayed(log: EventLog, session: string, lastId: string): Promise<string[]> {
  const seen: string[] = []
  await log
    .storeOf(() => session)
    .replayEventsAfter(lastId, {
      send: async (_, event) => void seen.push((event as ReturnType<typeof message>).params.text),
    })
  return seen
}

test('replays what came later on one stream of one session', async () => {
  const log = new EventLog()
  const [mine, other] = [log.storeOf(() => 'mine'), log.storeOf(() => 'other')]
  const first = await mine.storeEvent('a', message('1'))
  await mine.storeEvent('b', message('other stream'))
  await other.storeEvent('a', message('other session'))
  await mine.storeEvent('a', message('2'))
  expect(await replayed(log, 'mine', first)).toEqual(['2'])
  await expect(replayed(log, 'other', first)).rejects.toThrow('is not kept any more')
})

test('keeps the newest 5,000 events', async () => {
  const log = new EventLog()
  const store = log.storeOf(() => 'mine')
  const ids: string[] = []
  for (let index = 0; index < 5001; index++) ids.push(await store.storeEvent('a', message(String(index))))
  await expect(replayed(log, 'mine', ids[0]!)).rejects.toThrow('is not kept any more')
  expect(await replayed(log, 'mine', ids[1]!)).toHaveLength(4999)
})

test('forgets a session that ended', async () => {
  const log = new EventLog()
  await log.storeOf(() => 'mine').storeEvent('a', message('1'))
  expect(log.sizeBytes).toBeGreaterThan(0)
  log.forget('mine')
  expect(log.sizeBytes).toBe(0)
})
