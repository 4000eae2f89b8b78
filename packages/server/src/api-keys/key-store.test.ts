import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { openKeyStore } from './key-store.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const statusOf = async (key: string) =>
  (await t.call('GET', '/v2/sandboxes', undefined, { 'x-api-key': key })).status

test('a running server notices within seconds that another process made or deleted a key', async () => {
  const keys = await openKeyStore(t.storeUrl)
  const { id, key } = await keys.create('ci')
  expect(await statusOf(key)).toBe(200)
  const listed = (await keys.list()).find((entry) => entry.id === id)
  expect(listed).toMatchObject({ name: 'ci', masked: `${key.slice(0, 8)}…${key.slice(-4)}` })
  await keys.delete(id)
  t.now += 6_000
  expect(await statusOf(key)).toBe(401)
  await keys.close()
})

test('a key is found by its id, its listed prefix, or the key itself', async () => {
  const keys = await openKeyStore(t.storeUrl)
  for (const referenceOf of [
    ({ id }: { id: string; key: string }) => id.slice(0, 8),
    ({ key }: { id: string; key: string }) => key.slice(0, 8),
    ({ key }: { id: string; key: string }) => key,
  ]) {
    const made = await keys.create('x')
    await keys.delete(referenceOf(made))
    expect((await keys.list()).map(({ id }) => id)).not.toContain(made.id)
  }
  await keys.close()
})

test('a reference that matches no key, or several, deletes none', async () => {
  const keys = await openKeyStore(t.storeUrl)
  const before = await keys.list()
  for (const reference of ['', 'e2b_', before[0]!.id.slice(0, 3), 'e2b_zzzz', `e2b_${'0'.repeat(40)}`, '%'])
    await expect(keys.delete(reference)).rejects.toMatchObject({ errorName: 'not_found' })
  expect(await keys.list()).toEqual(before)
  await keys.close()
})

test('the last use of a key is recorded at most once a minute', async () => {
  const lastUsed = async () => (await t.call('GET', '/api-keys')).body[0].lastUsed
  t.now += 60_000
  const firstMs = t.now
  await t.call('GET', '/v2/sandboxes')
  await expect.poll(async () => Date.parse(await lastUsed())).toBe(firstMs)
  t.now += 59_000
  await t.call('GET', '/v2/sandboxes')
  expect(Date.parse(await lastUsed())).toBe(firstMs)
})
