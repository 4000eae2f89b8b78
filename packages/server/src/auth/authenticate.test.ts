import { newApiKey } from '@sandlot/protocol'
import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

async function statusFrom(remoteAddress: string, key = newApiKey()): Promise<number> {
  const headers = { 'x-api-key': key }
  const request = { method: 'GET', url: '/v2/sandboxes', headers, remoteAddress } as const
  return (await t.server.fastify.inject(request)).statusCode
}

async function guessFrom(remoteAddress: string): Promise<Record<number, number>> {
  const counts: Record<number, number> = {}
  for (let i = 0; i < 260; i++) {
    const status = await statusFrom(remoteAddress)
    counts[status] = (counts[status] ?? 0) + 1
  }
  return counts
}

test('guessing keys is rate limited by address, while valid keys still work from that address and others', async () => {
  await statusFrom('192.0.2.1', t.key)
  expect(await guessFrom('192.0.2.1')).toEqual({ 401: 200, 429: 60 })
  // later than the cache of a key's team lasts, but before the bucket is full again
  expect(await statusFrom('192.0.2.1', t.key)).toBe(200)
  expect(await statusFrom('192.0.2.2')).toBe(401)
  t.now += 1_000
  expect(await statusFrom('192.0.2.1')).toBe(401)
})

test.each(['127.0.0.1', '::ffff:127.0.0.1', '::1'])(
  'wrong keys that arrive through a proxy at %s lock out no other caller behind that proxy',
  async (address) => {
    expect(await guessFrom(address)).toEqual({ 401: 260 })
    expect(await statusFrom(address, t.key)).toBe(200)
  },
)

test('the addresses of one IPv6 network share a rate limit', async () => {
  await guessFrom('2001:db8::1')
  expect(await statusFrom('2001:db8::2:3')).toBe(429)
  expect(await statusFrom('2001:db8:0:0:1:2:3:4')).toBe(429)
  expect(await statusFrom('2001:db8:0:1::1')).toBe(401)
})

test('a deleted key counts as a wrong key for the rate limit', async () => {
  const { teamID } = (await t.call('GET', '/teams')).body[0]
  const { key, id } = await t.server.keys.create(teamID, 'gone')
  expect(await statusFrom('192.0.2.1', key)).toBe(200)
  await t.call('DELETE', `/api-keys/${id}`)
  expect(await statusFrom('192.0.2.1', key)).toBe(401)
  await guessFrom('192.0.2.1')
  expect(await statusFrom('192.0.2.1', key)).toBe(429)
})

test('a team has at most a thousand keys', async () => {
  const { teamID } = (await t.call('GET', '/teams')).body[0]
  await t.inStore(async (store) => {
    const values = Array.from({ length: 999 }, (_, i) => ({
      id: `${i}`,
      team_id: teamID,
      name: 'x',
      hash: `${i}`,
      created_at: 0,
      masked_prefix: '',
      masked_suffix: '',
      last_used_at: null,
    }))
    await store.insertInto('api_keys').values(values).execute()
  })
  for (const url of ['/api-keys', '/access-tokens'])
    expect((await t.call('POST', url, { name: 'one more' })).status).toBe(429)
})
