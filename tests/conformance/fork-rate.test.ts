import { randomUUID } from 'node:crypto'
import { ApiKeyRepository } from '@sandlot/server/api-keys/repository'
import { openStore } from '@sandlot/server/store/open-store'
import { expect, test } from 'vitest'
import { apiUrl, clients, describeClients, fetchWithin, rejection, server, v1ByHost } from './official.ts'

/** One create at once, and the next when clients have long given up waiting. */
const CREATES_PER_SECOND = 1 / 300

/** A team whose plan limits only the rate of creates. @returns its API key */
async function newTeam(): Promise<string> {
  const name = `rate-${randomUUID()}`
  const store = await openStore(server.store)
  await store.insertInto('plans').values({ name, creates_per_second: CREATES_PER_SECOND }).execute()
  await store
    .insertInto('teams')
    .values({ id: name, name, slug: name, plan: name, created_at: Date.now() })
    .execute()
  const { key } = await new ApiKeyRepository(store).create(name, 'creates')
  await store.destroy()
  return key
}

describeClients(
  'the rate of creates',
  ({ e2b: { RateLimitError, Sandbox } }) => {
    test('is met by a fork as by a create: 429 with the time to wait', async () => {
      const apiKey = await newTeam()
      const own = await Sandbox.create({ apiKey, timeoutMs: 120_000 })
      try {
        expect(await rejection(Sandbox.create({ apiKey }))).toBeInstanceOf(RateLimitError)
        expect(await rejection(own.fork({ count: 2 }))).toBeInstanceOf(RateLimitError)
        const refused = await fetchWithin(`${apiUrl}/sandboxes/${own.sandboxId}/fork`, {
          method: 'POST',
          headers: { 'X-API-KEY': apiKey, 'content-type': 'application/json' },
          body: '{"count":2}',
        })
        expect([refused.status, await refused.json()]).toMatchObject([429, { error_code: 'rate_limited' }])
        const waitSeconds = Number(refused.headers.get('retry-after'))
        expect(waitSeconds).toBeGreaterThan(200)
        expect(waitSeconds).toBeLessThanOrEqual(300)
      } finally {
        await own.kill()
      }
    })
  },
  clients.filter((client) => client !== v1ByHost),
)
