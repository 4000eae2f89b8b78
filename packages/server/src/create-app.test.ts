import pino from 'pino'
import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from './test-support/server-under-test.ts'

const logged: string[] = []
const logger = pino({ level: 'trace' }, { write: (line: string) => void logged.push(line) })
const under = serverUnderTest({ logger })
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

test.each(['', 'x', 'e2b_123', `e2b_${'0'.repeat(40)}`])('key %j is a 401 with a body', async (apiKey) => {
  const { status, body } = await t.call('GET', '/v2/sandboxes', undefined, { 'x-api-key': apiKey })
  expect([status, body.code]).toEqual([401, 401])
})

test('an API key is accepted as a bearer token', async () => {
  expect((await t.call('GET', '/v2/sandboxes', undefined, { authorization: `Bearer ${t.key}` })).status).toBe(
    200,
  )
  expect((await t.call('GET', '/v2/sandboxes', undefined, { authorization: 'Bearer nope' })).status).toBe(401)
})

test('pages of any origin may call the API, and read the headers of lists', async () => {
  const preflight = await t.server.fastify.inject({
    method: 'OPTIONS',
    url: '/v2/sandboxes',
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type,x-api-key',
    },
  })
  expect(preflight.statusCode).toBe(204)
  expect(preflight.headers).toMatchObject({
    'access-control-allow-origin': '*',
    'access-control-allow-headers': 'content-type,x-api-key',
    'access-control-allow-methods': expect.stringContaining('DELETE'),
  })
  const refused = await t.server.fastify.inject({
    url: '/v2/sandboxes',
    headers: { origin: 'https://app.example' },
  })
  expect(refused.statusCode).toBe(401)
  expect(refused.headers).toMatchObject({
    'access-control-allow-origin': '*',
    'access-control-expose-headers':
      'X-Next-Token, X-Total-Running, Retry-After, Should-Retry, Mcp-Session-Id, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset',
  })
})

test('no answer may be framed, sniffed or read with cookies', async () => {
  for (const url of [
    '/health',
    '/openapi.json',
    '/v2/sandboxes',
    '/nowhere',
    '/docs/signed-in',
    '/reference/',
  ]) {
    const headers = { origin: 'https://app.example', cookie: 'a=1', host: 'localhost' }
    const answer = await t.server.fastify.inject({ url, headers })
    expect([url, answer.headers]).toMatchObject([
      url,
      {
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'content-security-policy': expect.stringMatching(/^default-src 'none';.*frame-ancestors 'none'/),
        'access-control-allow-origin': '*',
      },
    ])
    expect(answer.headers).not.toHaveProperty('access-control-allow-credentials')
  }
})

test('no log, however verbose, holds secrets of URLs', async () => {
  const secret = '5ec2e7'.repeat(8)
  const urls = [
    ['PUT', `/templates/x/files/${'0'.repeat(64)}?ticket=${secret}`],
    ['PUT', `/templates/x/files/y/?ticket=${secret}`],
    ['GET', `/docs/sign-in?token=${secret}`],
    ['GET', `/docs/sign-in/?token=${secret}`],
    ['GET', `/files?path=x&signature=v1_${secret}`],
    ['GET', `/docs/api/cli?next=http://localhost:5000%3FaccessToken=${secret}`],
    ['POST', `/oauth/token?refresh_token=${secret}`],
    ['GET', `/v2/sandboxes?limit=${secret}`],
    ['GET', `/%zz?x=${secret}`],
  ] as const
  for (const [method, url] of urls)
    await t.server.fastify.inject({ method, url, headers: { host: 'localhost' } })
  expect(logged.join('')).toContain('/templates/x/files/')
  expect(logged.join('')).not.toContain(secret)
})

test('the reference page and its script load nothing from other servers', async () => {
  const page = await t.server.fastify.inject('/reference/')
  expect(page.statusCode).toBe(200)
  expect(page.body).not.toMatch(/https?:\/\//)
  const script = await t.server.fastify.inject('/reference/js/scalar.js')
  expect([script.statusCode, script.headers['content-type']]).toEqual([
    200,
    expect.stringContaining('javascript'),
  ])
})

test('huge numbers in a query are a 400 that names the field, or clamped', async () => {
  const { sandboxID } = await t.create()
  for (const [url, field] of [
    ['/events/sandboxes', 'offset'],
    [`/sandboxes/${sandboxID}/logs`, 'limit'],
    [`/sandboxes/${sandboxID}/metrics`, 'end'],
  ])
    for (const value of ['-1', '1e400', '1.5', 'x']) {
      const { status, body } = await t.call('GET', `${url}?${field}=${value}`)
      expect([status, body.code]).toEqual([400, 400])
      expect(body.message).toContain(field)
    }
  expect((await t.call('GET', '/events/sandboxes?offset=99999999999999999999')).status).toBe(400)
  expect((await t.call('GET', '/v2/sandboxes?limit=99999')).status).toBe(200)
})

test('an unexpected error is a 500 with a request id and no detail', async () => {
  t.node.init = async () => {
    throw new Error('secret detail')
  }
  const { status, body } = await t.call('POST', '/v2/sandboxes', { templateID: 'base' })
  expect([status, body.code, body.error_code]).toEqual([500, 500, 'internal_server_error'])
  expect(body.message).toMatch(/request [0-9a-f-]{36}/)
  expect(JSON.stringify(body)).not.toContain('secret')
  expect(t.node.machines.size).toBe(0)
})

test('health needs no key, the API document describes the routes', async () => {
  expect((await t.server.fastify.inject('/health')).statusCode).toBe(204)
  expect(Object.keys((await t.server.fastify.inject('/openapi.json')).json().paths)).toContain(
    '/v2/sandboxes',
  )
})

test('bad JSON, large bodies, unknown routes and odd ids are plain errors', async () => {
  const raw = (payload: string) =>
    t.server.fastify.inject({
      method: 'POST',
      url: '/v2/sandboxes',
      headers: { 'x-api-key': t.key, 'content-type': 'application/json' },
      payload,
    })
  expect((await raw('{')).json()).toMatchObject({ code: 400, message: 'the request body is not valid JSON' })
  expect((await raw(`"${'x'.repeat(1_100_000)}"`)).json()).toMatchObject({ code: 413 })
  expect((await t.call('GET', '/nothing/here')).body).toMatchObject({ code: 404 })
  expect((await raw(`{"templateID":${'['.repeat(10_000)}${']'.repeat(10_000)}}`)).json()).toMatchObject({
    code: 400,
  })
  for (const id of ['%ZZ', 'x'.repeat(3000)]) {
    const { status, body } = await t.call('GET', `/sandboxes/${id}`)
    expect(body).toMatchObject({ code: status, message: expect.any(String) })
  }
  for (const id of ['..%2f..%2fetc', 'A', 'x'.repeat(300), '%00'])
    expect((await t.call('GET', `/sandboxes/${id}`)).status).toBe(404)
})

test('clients are told not to retry what may have taken effect; where their own rule is right, no header is sent', async () => {
  const create = () => t.call('POST', '/v2/sandboxes', { templateID: 'base' })
  const { sandboxID } = (await create()).body
  t.node.failStop = 1
  const kill = await t.call('DELETE', `/sandboxes/${sandboxID}`)
  expect([kill.status, kill.headers['should-retry']]).toEqual([504, 'false'])

  t.node.failInit = 3
  const failed = await create()
  expect([failed.status, failed.headers['should-retry']]).toEqual([500, 'true'])

  t.server.refuseNew()
  const drained = await create()
  expect([drained.status, drained.headers['should-retry'], drained.headers['retry-after']]).toEqual([
    503,
    undefined,
    '5',
  ])
})

test.each(['/events/webhooks/1', '/teams/t/metrics/max'])(
  '%s, which is planned for a later version, is a 501 instead of a 404',
  async (url) => {
    const { status, body } = await t.call('GET', url)
    expect([status, body.code, body.error_code]).toEqual([501, 501, 'not_implemented'])
    expect((await t.call('GET', `${url.split('/').slice(0, 2).join('/')}-other`)).status).toBe(404)
  },
)
