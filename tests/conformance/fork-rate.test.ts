import { expect, test } from 'vitest'
import { newTeam } from '../new-team.ts'
import { apiUrl, clients, describeClients, fetchWithin, rejection, server, v1ByHost } from './official.ts'

/** One create at once, and the next when clients have long given up waiting. */
const CREATES_PER_SECOND = 1 / 300

describeClients(
  'the rate of creates',
  ({ e2b: { RateLimitError, Sandbox } }) => {
    test('limits forks like creates: 429 with the time to wait', async () => {
      const apiKey = await newTeam(server, { creates_per_second: CREATES_PER_SECOND })
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
