import { CLOSED, OPEN } from '@sandlot/protocol/node'
import { beforeEach, expect, test, vi } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { SandboxRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

test('a create returns token and domain, and the machine gets the same token and the environment', async () => {
  const { status, body } = await t.call('POST', '/v2/sandboxes', {
    templateID: 'base',
    envVars: { A: '1' },
    metadata: { k: 'v' },
  })
  expect(status).toBe(201)
  expect(body).toMatchObject({
    alias: 'base',
    domain: 'sandlot.test',
    envdVersion: '0.6.13',
    trafficAccessToken: null,
  })
  expect(body.envdAccessToken).toMatch(/^[0-9a-f]{32}$/)
  expect(t.node.inits()[0]).toMatchObject({
    sandboxId: body.sandboxID,
    accessToken: body.envdAccessToken,
    envVars: { A: '1' },
  })
  const detail = await t.call('GET', `/sandboxes/${body.sandboxID}`)
  expect(detail.body).toMatchObject({
    state: 'running',
    metadata: { k: 'v' },
    allowInternetAccess: null,
    cpuCount: 2,
  })
  expect(Date.parse(detail.body.endAt) - Date.parse(detail.body.startedAt)).toBe(300_000)
})

test('the old create defaults to 15 s', async () => {
  const { body } = await t.call('POST', '/sandboxes', { templateID: 'base' })
  const detail = await t.call('GET', `/sandboxes/${body.sandboxID}`)
  expect(Date.parse(detail.body.endAt) - Date.parse(detail.body.startedAt)).toBe(15_000)
})

test.each([
  ['/sandboxes', {}, false],
  ['/sandboxes', { secure: false }, false],
  ['/sandboxes', { secure: true }, true],
  ['/v2/sandboxes', {}, true],
  // this route has no such field and ignores it
  ['/v2/sandboxes', { secure: false }, true],
])('a create by %s with %j makes an access token: %s', async (url, extra, hasToken) => {
  const { body } = await t.call('POST', url, { templateID: 'base', ...extra })
  const token = hasToken ? expect.stringMatching(/^[0-9a-f]{32}$/) : undefined
  const sent = hasToken ? body.envdAccessToken : ''
  expect(body.envdAccessToken).toEqual(token)
  expect(t.node.inits()[0]?.accessToken).toBe(sent)
  expect((await t.call('GET', `/sandboxes/${body.sandboxID}`)).body.envdAccessToken).toBe(
    body.envdAccessToken,
  )
  expect(t.server.directory.find(body.sandboxID)?.envdAccessToken).toBe(body.envdAccessToken)
})

test('a sandbox without a token still has none after a resume or fork', async () => {
  const id = (await t.call('POST', '/sandboxes', { templateID: 'base', timeout: 100 })).body.sandboxID
  const tokens = () => new Set(t.node.inits().map((init) => init?.accessToken))
  await t.call('POST', `/sandboxes/${id}/pause`)
  await t.crash()
  const resumed = await t.call('POST', `/v2/sandboxes/${id}/connect`, {})
  expect([resumed.status, resumed.body.envdAccessToken]).toEqual([201, undefined])
  const [{ sandbox: fork }] = (await t.call('POST', `/sandboxes/${id}/fork`, {})).body
  expect(fork.envdAccessToken).toBeUndefined()
  const { checkpointID } = (await t.call('POST', `/sandboxes/${id}/checkpoints`)).body
  const back = await t.call('POST', `/sandboxes/${id}/rollback`, { checkpointID })
  expect([back.status, back.body.envdAccessToken]).toEqual([200, undefined])
  expect(tokens()).toEqual(new Set(['']))
  // a create from a snapshot makes its own choice
  const { snapshotID } = (await t.call('POST', `/sandboxes/${id}/snapshots`, {})).body
  expect((await t.create({ templateID: snapshotID })).envdAccessToken).toMatch(/^[0-9a-f]{32}$/)
  expect(tokens().size).toBe(2)
})

test('allowPublicTraffic: false needs an access token', async () => {
  const network = { allowPublicTraffic: false }
  const { status, body } = await t.call('POST', '/sandboxes', { templateID: 'base', network })
  expect([status, body.message]).toEqual([
    400,
    'allowPublicTraffic: false needs a sandbox with an access token: set secure to true',
  ])
})

test.each([
  [{}, 'templateID is missing in the body'],
  [{ templateID: 3 }, 'templateID must be string, but it is 3'],
  [{ templateID: 'base', timeout: '10' }, 'timeout must be integer, but it is "10"'],
  [{ templateID: 'base', timeout: -1 }, 'timeout must be >= 1, but it is -1'],
  [{ templateID: 'base', timeout: 0 }, 'timeout must be >= 1, but it is 0'],
  [{ templateID: 'base', timeout: 2 ** 31 }, 'timeout must be <= 2147483647'],
  [{ templateID: 'base', envVars: { A: 1 } }, 'envVars.A must be string, but it is 1'],
  [{ templateID: 'base', network: { denyOut: ['10.0.0.0/33'] } }, 'invalid denied CIDR 10.0.0.0/33'],
  [
    { templateID: 'base', network: { allowOut: ['example.com'] } },
    "you must include 'ALL_TRAFFIC' in deny out",
  ],
  [{ templateID: 'base', metadata: { a: null } }, 'metadata.a must be string, but it is null'],
  [{ templateID: 'base', autoPauseMemory: false }, 'autoPauseMemory is false but autoPause is not set'],
  [
    { templateID: 'base', network: { maskRequestHost: 'app\r\nX-Injected: 1' } },
    'mask request host is not valid: ',
  ],
])('a create with %j is a 400 that names the field', async (payload, message) => {
  const { status, body } = await t.call('POST', '/v2/sandboxes', payload)
  expect(status).toBe(400)
  expect(body.code).toBe(400)
  expect(body.message).toContain(message)
  expect(t.node.machines.size).toBe(0)
})

test('volumeMounts of a server without volumes are refused instead of being ignored', async () => {
  const volumeMounts = [{ name: 'a', path: '/a' }]
  const { status, body } = await t.call('POST', '/v2/sandboxes', { templateID: 'base', volumeMounts })
  expect([status, body.message]).toEqual([400, 'Volume mounts are not enabled.'])
  expect(t.node.machines.size).toBe(0)
})

test('internet access is off for allow_internet_access: false and for denyOut of everything', async () => {
  await t.create({ allow_internet_access: false })
  await t.create({ network: { denyOut: ['0.0.0.0/0'] } })
  await t.create()
  expect([...t.node.policies.values()]).toEqual([CLOSED, CLOSED, OPEN])
})

test('without public traffic the edge checks the token that the client got', async () => {
  const { sandboxID, trafficAccessToken } = await t.create({ network: { allowPublicTraffic: false } })
  expect(trafficAccessToken).toMatch(/^[0-9a-f]{32}$/)
  expect(t.server.directory.find(sandboxID)).toMatchObject({ trafficAccessToken, state: 'running' })
})

test('an unknown template is a 404 with similar names; an unknown tag is a 404 too', async () => {
  expect((await t.call('POST', '/v2/sandboxes', { templateID: 'bsae' })).body.message).toBe(
    "template 'bsae' not found; did you mean 'base'?",
  )
  expect((await t.call('POST', '/v2/sandboxes', { templateID: 'base:v2' })).body.message).toBe(
    "tag 'v2' does not exist for template 'base'",
  )
  for (const templateID of ['default/base/x', 'base:default:x', '/base', 'other/base', '__proto__'])
    expect((await t.call('POST', '/v2/sandboxes', { templateID })).status).toBe(404)
  for (const templateID of ['base:default', 'default/base', 'BASE'])
    expect((await t.create({ templateID })).sandboxID).toBeTruthy()
})

test('a plan limits concurrency, rate and length', async () => {
  await t.limit({ concurrent_sandboxes: 1, creates_per_second: 3, max_length_hours: 1 })
  expect((await t.call('POST', '/v2/sandboxes', { templateID: 'base', timeout: 3601 })).body.message).toBe(
    'Timeout cannot be greater than 1 hours',
  )
  await t.create()
  const over = await t.call('POST', '/v2/sandboxes', { templateID: 'base' })
  expect([over.status, over.body.code]).toEqual([429, 429])
  expect(over.body.message).toContain('its plan allows 1')
  const tooFast = await t.call('POST', '/v2/sandboxes', { templateID: 'base' })
  expect([tooFast.status, tooFast.headers['retry-after']]).toEqual([429, '1'])
})

test('a warm machine that fails is replaced; after three failures the create fails and leaves nothing behind', async () => {
  t.node.failInit = 1
  await t.create()
  expect(t.node.machines.size).toBe(1)
  t.node.failInit = 3
  const { status, body } = await t.call('POST', '/v2/sandboxes', { templateID: 'base' })
  expect([status, body.error_code]).toEqual([500, 'sandbox_create_failed'])
  expect(t.node.machines.size).toBe(1)
})

test('a burst never exceeds the limit: sandboxes that are being created count', async () => {
  await t.limit({ concurrent_sandboxes: 3 })
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => t.call('POST', '/v2/sandboxes', { templateID: 'base' })),
  )
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(3)
  expect(answers.filter(({ status }) => status === 429)).toHaveLength(7)
  await t.call('DELETE', `/sandboxes/${answers.find(({ status }) => status === 201)?.body.sandboxID}`)
  expect((await t.call('POST', '/v2/sandboxes', { templateID: 'base' })).status).toBe(201)
})

test('the requests of each key have their own rate limit', async () => {
  const { key: other } = await t.server.keys.create((await t.call('GET', '/teams')).body[0].teamID, 'other')
  await t.limit({ requests_per_second: 2 })
  const statuses = []
  for (let i = 0; i < 3; i++) statuses.push(await t.call('GET', '/v2/sandboxes'))
  expect(statuses.map(({ status }) => status)).toEqual([200, 200, 429])
  expect(statuses[2]?.headers['retry-after']).toBe('1')
  expect((await t.call('GET', '/v2/sandboxes', undefined, { 'x-api-key': other })).status).toBe(200)
})

test('a machine whose kernel dies during a create is replaced', async () => {
  t.node.dieInInit = 1
  const { sandboxID } = await t.create()
  expect(await t.statusOf(sandboxID)).toBe(200)
  expect(t.node.inits()).toMatchObject([{ sandboxId: sandboxID }])
  expect((await t.eventsOf(sandboxID)).map(({ type }) => type)).toEqual(['sandbox.lifecycle.created'])
})

test.each([
  [{ metadata: { k: 'x'.repeat(70_000) } }, 'metadata 70008: 70008 bytes of JSON, at most 65536'],
  [{ envVars: { K: 'ä'.repeat(40_000) } }, 'envVars 80008: 80008 bytes'],
  [
    { metadata: { k: 'x'.repeat(40_000) }, envVars: { K: 'x'.repeat(40_000) } },
    'metadata 40008, envVars 40008: 80016',
  ],
  [{ mcp: { server: { blob: 'x'.repeat(70_000) } } }, 'mcp 70022: 70022 bytes'],
  [
    { metadata: Object.fromEntries(Array.from({ length: 9000 }, (_, i) => [`k${i}`, ''])) },
    'at most 65536 (64 KiB)',
  ],
  [
    { mcp: { deep: JSON.parse(`${'['.repeat(1000)}${']'.repeat(1000)}`) } },
    'mcp is nested more than 64 levels deep',
  ],
])(
  'free-form fields of a create may have 64 KiB together, and the error lists their sizes',
  async (payload, message) => {
    const { status, body } = await t.call('POST', '/v2/sandboxes', { templateID: 'base', ...payload })
    expect([status, body.message]).toEqual([400, expect.stringContaining(message)])
    expect(t.node.machines.size).toBe(0)
  },
)

test('64 KiB of metadata are stored once, and every event shows them', async () => {
  const metadata = { k: 'x'.repeat(60_000) }
  const { sandboxID: id } = await t.create({ metadata })
  for (const timeout of [100, 200, 300]) await t.act(id, 'timeout', { timeout })
  await t.act(id, 'checkpoints')
  await t.call('DELETE', `/sandboxes/${id}`)
  const events = await t.eventsOf(id)
  expect(events.length).toBeGreaterThanOrEqual(6)
  for (const { event_data } of events) expect(event_data.sandbox_metadata).toEqual(metadata)
  const stored = await t.inStore((store) => store.selectFrom('events').select('body').execute())
  expect(stored.reduce((sum, { body }) => sum + body.length, 0)).toBeLessThan(10_000)
})

test('events that an older version stored with their metadata are shown unchanged', async () => {
  const { sandboxID: id } = await t.create({ metadata: { k: 'v' } })
  await t.inStore(async (store) => {
    const { body } = await store.selectFrom('events').select('body').executeTakeFirstOrThrow()
    const event = JSON.parse(body)
    event.event_data = { sandbox_metadata: { k: 'old' } }
    await store
      .updateTable('events')
      .set({ body: JSON.stringify(event) })
      .execute()
  })
  expect((await t.eventsOf(id))[0]!.event_data).toEqual({ sandbox_metadata: { k: 'old' } })
})

test('unknown fields are ignored, metadata and environment keep any key', async () => {
  const response = await t.server.fastify.inject({
    method: 'POST',
    url: '/v2/sandboxes',
    headers: { 'x-api-key': t.key, 'content-type': 'application/json' },
    payload:
      '{"templateID":"base","later":1,"metadata":{"__proto__":"x","":"y"},"envVars":{"__proto__":"z"}}',
  })
  expect(response.statusCode).toBe(201)
  const { body } = await t.call('GET', `/sandboxes/${response.json().sandboxID}`)
  expect(Object.entries(body.metadata)).toEqual([
    ['__proto__', 'x'],
    ['', 'y'],
  ])
  expect(Object.entries(t.node.inits()[0]!.envVars)).toEqual([['__proto__', 'z']])
})

test('a machine that fails before the row of its sandbox is written leaves no row behind that says it starts', async () => {
  const { insert } = SandboxRepository.prototype
  const gate = Promise.withResolvers<void>()
  const inserting = vi.spyOn(SandboxRepository.prototype, 'insert').mockImplementationOnce(async function (
    this: SandboxRepository,
    ...args
  ) {
    await gate.promise
    await insert.apply(this, args)
  })
  t.node.failInit = 1
  expect((await t.call('POST', '/v2/sandboxes', { templateID: 'base' })).status).toBe(201)
  gate.resolve()
  await Promise.allSettled(inserting.mock.results.map(({ value }) => value))
  inserting.mockRestore()
  const states = await t.inStore((store) =>
    store.selectFrom('sandboxes').select(['state', 'kill_reason']).orderBy('state').execute(),
  )
  expect(states).toEqual([
    { state: 'killed', kill_reason: 'create_failed' },
    { state: 'running', kill_reason: null },
  ])
})
