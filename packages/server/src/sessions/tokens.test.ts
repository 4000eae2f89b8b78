import { randomUUID } from 'node:crypto'
import { DAY_MS, HOUR_MS } from '@sandlot/protocol'
import { SignJWT } from 'jose'
import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { SessionRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const statusWith = async (headers: Record<string, string>, url = '/v2/sandboxes') =>
  (await t.call('GET', url, undefined, headers)).status
const refresh = (token: string) =>
  t.post('/oauth/token', { grant_type: 'refresh_token', refresh_token: token, client_id: 'e2b-cli' })
const teamsOf = async (token: string) => (await t.call('GET', '/teams', undefined, bearer(token))).body

test('the access token of the CLI is valid for every route, for an hour', async () => {
  const { accessToken } = await t.logIn()
  for (const url of ['/teams', '/api-keys', '/v2/sandboxes', '/templates'])
    expect([url, await statusWith(bearer(accessToken), url)]).toEqual([url, 200])
  const created = await t.call('POST', '/v2/sandboxes', { templateID: 'base' }, bearer(accessToken))
  expect(created.status).toBe(201)
  t.now += HOUR_MS - 1000
  expect(await statusWith(bearer(accessToken))).toBe(200)
  t.now += 1000
  expect(await statusWith(bearer(accessToken))).toBe(401)
})

test('X-Team-ID must name the team of the session', async () => {
  const { accessToken } = await t.logIn()
  const [{ teamID }] = await teamsOf(accessToken)
  expect(await statusWith({ ...bearer(accessToken), 'x-team-id': teamID }, '/api-keys')).toBe(200)
  const another = randomUUID()
  expect(await statusWith({ ...bearer(accessToken), 'x-team-id': another }, '/api-keys')).toBe(403)
  expect(await statusWith({ ...bearer(accessToken), 'x-team-id': 'other' }, '/api-keys')).toBe(400)
})

test('tokens that this server did not sign are refused', async () => {
  const { accessToken } = await t.logIn()
  const [header, payload, signature] = accessToken.split('.')
  const { sub } = JSON.parse(Buffer.from(payload!, 'base64url').toString())
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')
  const foreign = await new SignJWT({})
    .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' })
    .setIssuer('sandlot')
    .setAudience('sandlot-api')
    .setSubject(sub)
    .setExpirationTime('1h')
    .sign(new Uint8Array(32))
  for (const token of [
    `${none}.${payload}.`,
    `${header}.${payload}.${signature!.slice(2)}`,
    foreign,
    `${header}..`,
  ])
    expect(await statusWith(bearer(token))).toBe(401)
})

test('the API key of a session never changes, is listed as a key of the CLI, and works', async () => {
  const { accessToken, refreshToken } = await t.logIn()
  const [{ apiKey, isDefault, name }] = await teamsOf(accessToken)
  expect([isDefault, name]).toEqual([true, 'default'])
  expect(apiKey).toMatch(/^e2b_[0-9a-f]{40}$/)
  expect(await statusWith({ 'x-api-key': apiKey })).toBe(200)
  const next = (await refresh(refreshToken)).body.access_token
  expect((await teamsOf(next))[0].apiKey).toBe(apiKey)
  await t.crash()
  expect((await teamsOf(next))[0].apiKey).toBe(apiKey)
  const names = (await t.call('GET', '/api-keys')).body.map((key: { name: string }) => key.name)
  expect(names).toContain(`CLI of ${new Date(t.now).toISOString().slice(0, 10)}`)
  const other = await t.logIn()
  expect((await teamsOf(other.accessToken))[0].apiKey).not.toBe(apiKey)
})

test('a refresh token is exchanged for new tokens and lives 30 days from its last use', async () => {
  const { refreshToken } = await t.logIn()
  t.now += 29 * DAY_MS
  const { status, headers, body } = await refresh(refreshToken)
  expect([status, headers['cache-control']]).toEqual([200, 'no-store'])
  expect(body).toMatchObject({ token_type: 'Bearer', expires_in: 3600 })
  expect(await statusWith(bearer(body.access_token))).toBe(200)
  t.now += 29 * DAY_MS
  const later = await refresh(body.refresh_token)
  expect(later.status).toBe(200)
  t.now += 30 * DAY_MS
  expect(await refresh(later.body.refresh_token)).toMatchObject({
    status: 400,
    body: { error: 'invalid_grant' },
  })
})

test('a refresh token that is used again ends the session with all its credentials', async () => {
  const { accessToken, refreshToken } = await t.logIn()
  const [{ apiKey }] = await teamsOf(accessToken)
  const next = (await refresh(refreshToken)).body
  t.now += 11_000
  expect(await refresh(refreshToken)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } })
  expect((await refresh(next.refresh_token)).body.error).toBe('invalid_grant')
  for (const headers of [bearer(accessToken), bearer(next.access_token), { 'x-api-key': apiKey }])
    expect(await statusWith(headers)).toBe(401)
})

test('two concurrent refreshes both succeed', async () => {
  const { refreshToken } = await t.logIn()
  const both = await Promise.all([refresh(refreshToken), refresh(refreshToken)])
  expect(both.map(({ status }) => status)).toEqual([200, 200])
  t.now += 60_000
  for (const { body } of both) expect((await refresh(body.refresh_token)).status).toBe(200)
})

test.each(['refresh', 'access'] as const)(
  'logging out with the %s token ends all credentials of the session at once',
  async (which) => {
    const { accessToken, refreshToken } = await t.logIn()
    const other = await t.logIn()
    const [{ apiKey }] = await teamsOf(accessToken)
    expect(await statusWith({ 'x-api-key': apiKey })).toBe(200)
    const token = which === 'refresh' ? refreshToken : accessToken
    const fields = { token, token_type_hint: `${which}_token`, client_id: 'e2b-cli' }
    expect((await t.post('/oauth/revoke', fields)).status).toBe(200)
    expect(await statusWith(bearer(accessToken))).toBe(401)
    expect(await statusWith({ 'x-api-key': apiKey })).toBe(401)
    expect((await refresh(refreshToken)).body.error).toBe('invalid_grant')
    expect(await statusWith(bearer(other.accessToken))).toBe(200)
    expect((await t.post('/oauth/revoke', fields)).status).toBe(200)
  },
)

test('deleting the API key of a session signs that CLI out', async () => {
  const { accessToken, refreshToken } = await t.logIn()
  const key = (await t.call('GET', '/api-keys')).body.find((entry: { name: string }) =>
    entry.name.startsWith('CLI of'),
  )
  expect((await t.call('DELETE', `/api-keys/${key.id}`)).status).toBe(204)
  expect(await statusWith(bearer(accessToken))).toBe(401)
  expect((await refresh(refreshToken)).body.error).toBe('invalid_grant')
})

test('the API key of a session expires with the session', async () => {
  const { accessToken } = await t.logIn()
  const [{ apiKey }] = await teamsOf(accessToken)
  t.now += 30 * DAY_MS - 1000
  expect(await statusWith({ 'x-api-key': apiKey })).toBe(200)
  t.now += 1000
  expect(await statusWith({ 'x-api-key': apiKey })).toBe(401)
})

test.each([
  [{ grant_type: 'password', client_id: 'e2b-cli' }, 'unsupported_grant_type'],
  [{ grant_type: 'refresh_token', client_id: 'e2b-cli' }, 'invalid_request'],
  [{ grant_type: 'refresh_token', refresh_token: 'x', client_id: 'other' }, 'invalid_client'],
  [{ grant_type: 'refresh_token', refresh_token: 'x', client_id: 'e2b-cli' }, 'invalid_grant'],
  [{ refresh_token: 'x' }, 'invalid_request'],
  [{ grant_type: 'refresh_token', refresh_token: 'x'.repeat(9000), client_id: 'e2b-cli' }, 'invalid_request'],
] as Array<[Record<string, string>, string]>)('token request %j is %s', async (fields, error) => {
  const answer = await t.post('/oauth/token', fields)
  expect([Math.floor(answer.status / 100), answer.body.error]).toEqual([4, error])
  expect(answer.body.error_description).toEqual(expect.any(String))
})

test('token requests are rate limited', async () => {
  const statuses: number[] = []
  for (let i = 0; i < 31; i++) statuses.push((await refresh('x')).status)
  expect(statuses).toEqual([...Array(30).fill(400), 429])
})

test('the database holds no usable secret, and expired rows are deleted', async () => {
  const { accessToken, refreshToken } = await t.logIn()
  const [{ apiKey }] = await teamsOf(accessToken)
  const rows = () =>
    t.inStore(async (store) => ({
      sessions: await store.selectFrom('sessions').selectAll().execute(),
      tokens: await store.selectFrom('session_tokens').selectAll().execute(),
      keys: await store.selectFrom('api_keys').selectAll().execute(),
    }))
  const { sessions, tokens, keys } = await rows()
  expect([sessions.length, tokens.length, keys.length]).toEqual([2, 2, 2])
  const text = JSON.stringify({ sessions, tokens, keys })
  for (const secret of [accessToken, refreshToken, apiKey]) expect(text).not.toContain(secret)
  t.now += 31 * DAY_MS
  await t.inStore((store) => new SessionRepository(store).prune(t.now))
  expect(await rows()).toMatchObject({ sessions: [], tokens: [], keys: [expect.anything()] })
})
