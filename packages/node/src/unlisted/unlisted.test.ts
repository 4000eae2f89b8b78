import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DAY_MS, SandlotError } from '@sandlot/protocol'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { UnlistedMarks } from './marks.ts'
import { Unlisted } from './unlisted.ts'
import { mentionUnlisted } from './unlisted-data.ts'

const GRACE_MS = 7 * DAY_MS
const [OWN, OTHER] = ['own', 'other']

let dir: string
let now: number
let uptimeMs: number
let present: Map<string, { sizeBytes: number; createdAtMs: number }>
let removed: string[]
let errors: unknown[]
let marks: UnlistedMarks
let unlisted: Unlisted

beforeEach(() => {
  dir = join(mkdtempSync(join(tmpdir(), 'sandlot-unlisted-')), 'checkpoints')
  now = Date.UTC(2026, 0, 1)
  uptimeMs = 0
  present = new Map([['c1', { sizeBytes: 5, createdAtMs: now - DAY_MS }]])
  removed = []
  errors = []
  marks = new UnlistedMarks(dir)
})
afterEach(() => rmSync(join(dir, '..'), { recursive: true }))

/** Simulates a start of a server. */
async function start(instanceId: string, listed: string[] = []): Promise<void> {
  unlisted = new Unlisted({
    marks,
    graceMs: GRACE_MS,
    describe: async (id) => present.get(id) ?? {},
    async remove(id) {
      removed.push(id)
      present.delete(id)
    },
    onFound: () => {},
    onRemoved: () => {},
    onError: (error) => errors.push(error),
    now: () => now,
    uptimeMs: () => uptimeMs,
  })
  await unlisted.find(present.keys(), (id) => listed.includes(id), instanceId)
}
function pass(ms: number): void {
  now += ms
  uptimeMs += ms
}
const collect = () => unlisted.collect({ isAsked: false })

test('a start marks unlisted things with time, database and size, and deletes nothing', async () => {
  present.set('c2', { sizeBytes: 1, createdAtMs: now })
  await start(OWN, ['c2'])
  expect(await marks.list()).toEqual([{ id: 'c1', sinceMs: now, instanceId: OWN, sizeBytes: 5 }])
  expect(removed).toEqual([])
})

test('an unlisted thing is deleted with its mark after the grace period, not before', async () => {
  await start(OWN)
  pass(GRACE_MS - 1)
  await collect()
  expect(removed).toEqual([])
  pass(1)
  await collect()
  expect([removed, await marks.list()]).toEqual([['c1'], []])
})

test('the grace period also passes while no server runs, but nothing is deleted in the first hour after a start', async () => {
  await start(OWN)
  now += 2 * GRACE_MS
  await start(OWN)
  await collect()
  expect(removed).toEqual([])
  pass(3600_000)
  await collect()
  expect(removed).toEqual(['c1'])
})

test('a requested collection skips the first hour, but not the grace period', async () => {
  await start(OWN)
  await unlisted.collect({ isAsked: true })
  expect(removed).toEqual([])
  now += GRACE_MS
  await unlisted.collect({ isAsked: true })
  expect(removed).toEqual(['c1'])
})

test('a later join by the same database on a running node does not restart the first hour', async () => {
  await start(OWN)
  const joinAgain = () => unlisted.find(present.keys(), () => false, OWN)
  for (let hours = 0; hours < 24 * 7; hours++) {
    pass(3600_000)
    await joinAgain()
  }
  await collect()
  expect(removed).toEqual(['c1'])
})

test('the grace period restarts under another database that does not list the thing', async () => {
  await start(OWN)
  pass(GRACE_MS)
  await start(OTHER)
  pass(3600_000)
  await collect()
  expect(removed).toEqual([])
  expect(await marks.list()).toMatchObject([{ instanceId: OTHER }])
  pass(GRACE_MS)
  await collect()
  expect(removed).toEqual(['c1'])
})

test('a mark is removed when the thing is listed again, and a later mark restarts the time', async () => {
  await start(OTHER)
  pass(GRACE_MS)
  await start(OWN, ['c1'])
  pass(GRACE_MS)
  await collect()
  expect([removed, await marks.list()]).toEqual([[], []])
  await start(OTHER)
  pass(GRACE_MS - 1)
  await collect()
  expect(removed).toEqual([])
})

test('marks of missing things are removed', async () => {
  await start(OWN)
  present.clear()
  await start(OWN)
  expect(readdirSync(dir)).toEqual([])
})

test('a mark in the future is restarted', async () => {
  now += 365 * DAY_MS
  await start(OWN)
  now -= 365 * DAY_MS
  await start(OWN)
  expect(await marks.list()).toMatchObject([{ sinceMs: now }])
  pass(GRACE_MS)
  await collect()
  expect(removed).toEqual(['c1'])
})

test('a mark that is older than its thing is restarted', async () => {
  const right = now
  now = 0
  await start(OWN)
  now = right
  pass(3600_000)
  await collect()
  expect(removed).toEqual([])
  expect(await marks.list()).toMatchObject([{ sinceMs: now }])
})

test.each([
  ['torn', () => truncateSync(join(dir, 'c1.json'), 20)],
  ['empty', () => truncateSync(join(dir, 'c1.json'), 0)],
  [
    'of another thing',
    () => writeFileSync(join(dir, 'c1.json'), '{"id":"c2","sinceMs":1,"instanceId":"own"}'),
  ],
  ['without a time', () => writeFileSync(join(dir, 'c1.json'), '{"id":"c1","instanceId":"own"}')],
  ['gone', () => rmSync(join(dir, 'c1.json'))],
])('a mark that is %s is ignored, and the time restarts', async (_, damage) => {
  await start(OWN)
  pass(GRACE_MS)
  damage()
  await collect()
  expect(removed).toEqual([])
  expect(await marks.list()).toMatchObject([{ id: 'c1', sinceMs: now, instanceId: OWN }])
})

test('an incomplete mark counts as absent', async () => {
  await start(OWN)
  writeFileSync(join(dir, '.writing-c1'), '{"id":"c1"')
  expect(await marks.ids()).toEqual(['c1'])
})

test('a thing that is deleted on purpose leaves no mark', async () => {
  await start(OWN)
  await unlisted.forget('c1')
  expect(await marks.list()).toEqual([])
})

test('a start without marks on a full disk succeeds and deletes nothing', async () => {
  writeFileSync(dir, 'a file where the folder should be')
  await start(OWN)
  pass(10 * GRACE_MS)
  await collect()
  expect(removed).toEqual([])
  expect(errors).toHaveLength(2)
})

test('a shortage mentions machines that no client can see or kill', () => {
  const full = new SandlotError('sandbox_capacity_unavailable', 'all 5 slots are in use', {
    retryAfterSeconds: 5,
  })
  expect(mentionUnlisted(full, 0)).toBe(full)
  expect(mentionUnlisted(full, 3)).toMatchObject({
    errorName: 'sandbox_capacity_unavailable',
    retryAfterSeconds: 5,
    message:
      'all 5 slots are in use; 3 are held by sandboxes that are frozen because the database does not list them (see `sandlot doctor`)',
  })
})
