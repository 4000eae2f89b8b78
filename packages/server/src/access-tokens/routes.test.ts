import { DAY_MS } from '@sandlot/protocol'
import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const statusWith = async (token: string) =>
  (await t.call('GET', '/v2/sandboxes', undefined, { authorization: `Bearer ${token}` })).status

test('an access token is shown once, works as bearer, and ends with its API key when it is deleted', async () => {
  const { status, body } = await t.call('POST', '/access-tokens', { name: 'ci' })
  expect([status, body]).toEqual([
    201,
    {
      id: expect.any(String),
      name: 'ci',
      token: expect.stringMatching(/^sk_e2b_[0-9a-f]{40}$/),
      createdAt: new Date(t.now).toISOString(),
      expiresAt: new Date(t.now + 90 * DAY_MS).toISOString(),
    },
  ])
  expect(await statusWith(body.token)).toBe(200)
  const { token: _, ...listed } = body
  expect((await t.call('GET', '/access-tokens')).body).toEqual([listed])
  const teams = await t.call('GET', '/teams', undefined, { authorization: `Bearer ${body.token}` })
  const withKey = () => t.call('GET', '/v2/sandboxes', undefined, { 'x-api-key': teams.body[0].apiKey })
  expect((await withKey()).status).toBe(200)
  expect((await t.call('DELETE', `/access-tokens/${body.id}`)).status).toBe(204)
  expect(await statusWith(body.token)).toBe(401)
  expect((await withKey()).status).toBe(401)
  expect((await t.call('DELETE', `/access-tokens/${body.id}`)).status).toBe(404)
  expect((await t.call('GET', '/access-tokens')).body).toEqual([])
})

test('an access token expires when the request said', async () => {
  const { token } = (await t.call('POST', '/access-tokens', { name: 'ci', expiresInDays: 1 })).body
  t.now += DAY_MS - 1000
  expect(await statusWith(token)).toBe(200)
  t.now += 1000
  expect(await statusWith(token)).toBe(401)
  expect((await t.call('GET', '/access-tokens')).body).toEqual([])
})

test.each([{}, { name: '' }, { name: 'x', expiresInDays: 0 }, { name: 'x', expiresInDays: 400 }])(
  'access token %j is a 400',
  async (body) => expect((await t.call('POST', '/access-tokens', body)).status).toBe(400),
)

test('sessions of the CLI are not listed as access tokens, and refresh tokens are not accepted as bearer tokens', async () => {
  const { accessToken, refreshToken } = await t.logIn()
  expect(await statusWith(refreshToken)).toBe(401)
  const id = JSON.parse(Buffer.from(accessToken.split('.')[1]!, 'base64url').toString()).sub
  expect((await t.call('DELETE', `/access-tokens/${id}`)).status).toBe(404)
  expect(await statusWith(accessToken)).toBe(200)
})
