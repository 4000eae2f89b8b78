import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { MachineInit, NodeEvents, SandboxNode } from '@sandlot/node'
import { SandlotError } from '@sandlot/protocol'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ControlPlane, createServer } from './control-plane.ts'
import { openStore } from './store/store.ts'

/** A node without a machine: these tests are about rows and rules. The real one is under tests/. */
class NodeDouble implements SandboxNode {
  readonly machines = new Map<string, MachineInit | undefined>()
  readonly emitter = new EventEmitter<NodeEvents>()
  failInit = 0
  #next = 0

  builds = () => [
    { buildId: 'b1', name: 'base', defaultUser: 'user', cpuCount: 2, memoryMB: 1024, diskSizeMB: 10240 },
  ]
  start = async (inUse: ReadonlySet<string>) => new Set([...inUse].filter((id) => this.machines.has(id)))
  async acquire(buildId: string) {
    const machineId = `m${this.#next++}`
    this.machines.set(machineId, undefined)
    return { machineId, buildId, address: '10.0.0.2' }
  }
  async init(machineId: string, init: MachineInit) {
    if (this.failInit-- > 0) throw new SandlotError('sandbox_create_failed', 'it broke')
    this.machines.set(machineId, init)
  }
  async stop(machineId: string) {
    this.machines.delete(machineId)
  }
  addressOf = (machineId: string) => (this.machines.has(machineId) ? '10.0.0.2' : undefined)
  on<E extends keyof NodeEvents>(event: E, listener: (...args: NodeEvents[E]) => void) {
    this.emitter.on(event, listener as never)
  }
  close = async () => {}
}

const dir = mkdtempSync(join(tmpdir(), 'sandlot-server-test-'))
let databases = 0
let databasePath: string
let node: NodeDouble
let server: ControlPlane
let key: string
let now: number

async function open(): Promise<void> {
  server = await createServer({
    databasePath,
    node,
    domain: 'sandlot.test',
    logger: pino({ level: 'silent' }),
    now: () => now,
  })
  await server.start()
  key = await server.ensureDefaultTeam(key)
}

beforeEach(async () => {
  now = Date.now()
  key = ''
  node = new NodeDouble()
  databasePath = join(dir, `${databases++}.sqlite`)
  await open()
})
afterEach(async () => {
  await server.close()
  rmSync(databasePath, { force: true })
})

async function call(
  method: 'GET' | 'POST' | 'DELETE' | 'PUT' | 'PATCH',
  url: string,
  payload?: unknown,
  apiKey = key,
) {
  const response = await server.fastify.inject({
    method,
    url,
    headers: {
      'x-api-key': apiKey,
      ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
    },
    payload: payload === undefined ? undefined : JSON.stringify(payload),
  })
  return {
    status: response.statusCode,
    headers: response.headers,
    body: response.body ? response.json() : undefined,
  }
}
const create = async (body: Record<string, unknown> = {}) =>
  (await call('POST', '/v2/sandboxes', { templateID: 'base', ...body })).body as {
    sandboxID: string
    envdAccessToken?: string
    trafficAccessToken: string | null
  }

test('a create answers with token and domain, and the machine got the same token and the environment', async () => {
  const { status, body } = await call('POST', '/v2/sandboxes', {
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
  expect([...node.machines.values()][0]).toMatchObject({
    sandboxId: body.sandboxID,
    accessToken: body.envdAccessToken,
    envVars: { A: '1' },
  })
  const detail = await call('GET', `/sandboxes/${body.sandboxID}`)
  expect(detail.body).toMatchObject({
    state: 'running',
    metadata: { k: 'v' },
    allowInternetAccess: null,
    cpuCount: 2,
  })
  expect(Date.parse(detail.body.endAt) - Date.parse(detail.body.startedAt)).toBe(300_000)
})

test('the old create defaults to 15 s and can do without a token', async () => {
  const { body } = await call('POST', '/sandboxes', { templateID: 'base', secure: false })
  expect(body.envdAccessToken).toBeUndefined()
  expect([...node.machines.values()][0]?.accessToken).toBe('')
  const detail = await call('GET', `/sandboxes/${body.sandboxID}`)
  expect(Date.parse(detail.body.endAt) - Date.parse(detail.body.startedAt)).toBe(15_000)
})

test.each([
  [{}, 'templateID is missing in the body'],
  [{ templateID: 3 }, 'templateID must be string, but it is 3'],
  [{ templateID: 'base', timeout: '10' }, 'timeout must be integer, but it is "10"'],
  [{ templateID: 'base', timeout: -1 }, 'timeout must be >= 0, but it is -1'],
  [{ templateID: 'base', timeout: 2 ** 31 }, 'timeout must be <= 2147483647'],
  [{ templateID: 'base', envVars: { A: 1 } }, 'envVars.A must be string, but it is 1'],
  [{ templateID: 'base', autoPauseMemory: false }, 'autoPauseMemory is false but autoPause is not set'],
])('a create with %j is a 400 that names the field', async (payload, message) => {
  const { status, body } = await call('POST', '/v2/sandboxes', payload)
  expect(status).toBe(400)
  expect(body.code).toBe(400)
  expect(body.message).toContain(message)
  expect(node.machines.size).toBe(0)
})

test.each([
  { autoPause: true },
  { volumeMounts: [{ name: 'a', path: '/a' }] },
  { network: { allowOut: ['1.1.1.1'] } },
  { network: { denyOut: ['1.1.1.1'] } },
])('what a later version does is a 501, not a sandbox without it: %j', async (extra) => {
  const { status, body } = await call('POST', '/v2/sandboxes', { templateID: 'base', ...extra })
  expect([status, body.code, body.error_code]).toEqual([501, 501, 'not_implemented'])
  expect(node.machines.size).toBe(0)
})

test('internet access is off for allow_internet_access: false and for denyOut of everything', async () => {
  await create({ allow_internet_access: false })
  await create({ network: { denyOut: ['0.0.0.0/0'] } })
  await create()
  expect([...node.machines.values()].map((init) => init?.allowInternetAccess)).toEqual([false, false, true])
})

test('without public traffic the edge learns the token that the client got', async () => {
  const { sandboxID, trafficAccessToken } = await create({ network: { allowPublicTraffic: false } })
  expect(trafficAccessToken).toMatch(/^[0-9a-f]{32}$/)
  expect(server.directory.find(sandboxID)).toMatchObject({ trafficAccessToken, state: 'running' })
})

test('an unknown template is a 404 with near names; an unknown tag too', async () => {
  expect((await call('POST', '/v2/sandboxes', { templateID: 'bsae' })).body.message).toBe(
    "template 'bsae' not found; did you mean 'base'?",
  )
  expect((await call('POST', '/v2/sandboxes', { templateID: 'base:v2' })).body.message).toBe(
    "tag 'v2' does not exist for template 'base'",
  )
  for (const templateID of ['base:default', 'default/base', 'BASE'])
    expect((await create({ templateID })).sandboxID).toBeTruthy()
})

test.each(['', 'x', 'e2b_123', `e2b_${'0'.repeat(40)}`])('key %j is a 401 with a body', async (apiKey) => {
  const { status, body } = await call('GET', '/v2/sandboxes', undefined, apiKey)
  expect([status, body.code]).toEqual([401, 401])
})

test('health needs no key, the API document describes the routes', async () => {
  expect((await server.fastify.inject('/health')).statusCode).toBe(204)
  expect(Object.keys((await server.fastify.inject('/openapi.json')).json().paths)).toContain('/v2/sandboxes')
})

test('a killed sandbox is gone everywhere, and only one of two kills wins', async () => {
  const { sandboxID } = await create()
  const gone: string[] = []
  server.directory.onGone((id) => gone.push(id))
  const kills = await Promise.all([
    call('DELETE', `/sandboxes/${sandboxID}`),
    call('DELETE', `/sandboxes/${sandboxID}`),
  ])
  expect(kills.map(({ status }) => status).sort()).toEqual([204, 404])
  expect((await call('GET', `/sandboxes/${sandboxID}`)).body.message).toBe(
    `Sandbox "${sandboxID}" doesn't exist or you don't have access to it`,
  )
  expect([gone, node.machines.size, server.directory.find(sandboxID)]).toEqual([[sandboxID], 0, undefined])
  const events = (await call('GET', `/events/sandboxes/${sandboxID}?orderAsc=true`)).body
  expect(events.map((event: { type: string }) => event.type)).toEqual([
    'sandbox.lifecycle.created',
    'sandbox.lifecycle.killed',
  ])
  expect(events[1].event_data).toMatchObject({
    kill_reason: 'request',
    execution: { vcpu_count: 2, memory_mb: 1024 },
  })
})

test('time only grows by connect and refreshes, and is set by timeout', async () => {
  const { sandboxID } = await create({ timeout: 100 })
  const secondsLeft = async () =>
    (Date.parse((await call('GET', `/sandboxes/${sandboxID}`)).body.endAt) - now) / 1000
  expect((await call('POST', `/v2/sandboxes/${sandboxID}/connect`, { timeout: 10 })).status).toBe(200)
  expect(await secondsLeft()).toBe(100)
  await call('POST', `/sandboxes/${sandboxID}/connect`, { timeout: 500 })
  expect(await secondsLeft()).toBe(500)
  expect((await call('POST', `/sandboxes/${sandboxID}/timeout`, { timeout: 5 })).status).toBe(204)
  expect(await secondsLeft()).toBe(5)
  await call('POST', `/sandboxes/${sandboxID}/refreshes`, { duration: 60 })
  expect(await secondsLeft()).toBe(60)
  expect((await call('POST', `/sandboxes/${sandboxID}/connect`)).status).toBe(400)
})

test('a sandbox ends at its deadline', async () => {
  const { sandboxID } = await create({ timeout: 0 })
  await expect.poll(async () => (await call('GET', `/sandboxes/${sandboxID}`)).status).toBe(404)
  expect((await call('GET', `/events/sandboxes/${sandboxID}`)).body[0].event_data.kill_reason).toBe('timeout')
})

test('lists are filtered, ordered and paged', async () => {
  const ids: string[] = []
  for (let i = 0; i < 5; i++) {
    ids.push((await create({ metadata: { n: String(i), group: i < 3 ? 'a b' : 'c' } })).sandboxID)
    now += 1000
  }
  const first = await call('GET', '/v2/sandboxes?limit=2')
  expect(first.headers['x-total-running']).toBe('5')
  const second = await call('GET', `/v2/sandboxes?limit=3&nextToken=${first.headers['x-next-token']}`)
  expect(second.headers['x-next-token']).toBeUndefined()
  const listed = [...first.body, ...second.body].map(({ sandboxID }: { sandboxID: string }) => sandboxID)
  expect(listed).toEqual(ids.toReversed())
  const filter = encodeURIComponent(`group=${encodeURIComponent('a b')}`)
  expect((await call('GET', `/v2/sandboxes?metadata=${filter}`)).body).toHaveLength(3)
  expect((await call('GET', '/v2/sandboxes?state=paused')).body).toEqual([])
  expect((await call('GET', '/v2/sandboxes?state=dead')).status).toBe(400)
  expect((await call('GET', '/v2/sandboxes?template=nope')).body).toEqual([])
  expect((await call('GET', '/v2/sandboxes?template=base:x')).status).toBe(400)
  expect((await call('GET', '/v2/sandboxes?nextToken=%%')).status).toBe(400)
})

test('teams never see each other', async () => {
  const { sandboxID } = await create()
  const store = await openStore(databasePath)
  await store
    .insertInto('teams')
    .values({ id: 't2', name: 'two', slug: 'two', plan: 'unlimited', created_at: 0 })
    .execute()
  await store.destroy()
  const { key: otherKey } = await server.keys.create('t2', 'k')
  expect((await call('GET', '/v2/sandboxes', undefined, otherKey)).body).toEqual([])
  for (const [method, url, body] of [
    ['GET', `/sandboxes/${sandboxID}`],
    ['DELETE', `/sandboxes/${sandboxID}`],
    ['POST', `/sandboxes/${sandboxID}/timeout`, { timeout: 1 }],
    ['GET', `/sandboxes/${sandboxID}/metrics`],
    ['GET', `/sandboxes/${sandboxID}/logs`],
  ] as const)
    expect((await call(method, url, body, otherKey)).status).toBe(404)
  expect((await call('GET', `/events/sandboxes/${sandboxID}`, undefined, otherKey)).body).toEqual([])
})

test('a plan limits concurrency, rate and length', async () => {
  const store = await openStore(databasePath)
  await store
    .insertInto('plans')
    .values({
      name: 'small',
      concurrent_sandboxes: 1,
      creates_per_second: 3,
      max_length_hours: 1,
      requests_per_second: null,
    })
    .execute()
  await store.updateTable('teams').set({ plan: 'small' }).execute()
  await store.destroy()
  now += 10_000
  expect((await call('POST', '/v2/sandboxes', { templateID: 'base', timeout: 3601 })).body.message).toBe(
    'Timeout cannot be greater than 1 hours',
  )
  await create()
  const over = await call('POST', '/v2/sandboxes', { templateID: 'base' })
  expect([over.status, over.body.code]).toEqual([429, 429])
  expect(over.body.message).toContain('its plan allows 1')
  const tooFast = await call('POST', '/v2/sandboxes', { templateID: 'base' })
  expect([tooFast.status, tooFast.headers['retry-after']]).toEqual([429, '1'])
})

test('a warm machine that fails is replaced; three in a row are an error that leaves nothing', async () => {
  node.failInit = 1
  await create()
  expect(node.machines.size).toBe(1)
  node.failInit = 3
  const { status, body } = await call('POST', '/v2/sandboxes', { templateID: 'base' })
  expect([status, body.error_code]).toEqual([500, 'sandbox_create_failed'])
  expect(node.machines.size).toBe(1)
})

test('a machine that exits ends its sandbox with the reason', async () => {
  const { sandboxID } = await create()
  const [machineId] = [...node.machines.keys()]
  node.emitter.emit('exit', { machineId: machineId!, reason: 'it died' })
  await expect.poll(async () => (await call('GET', `/sandboxes/${sandboxID}`)).status).toBe(404)
  expect((await call('GET', `/events/sandboxes/${sandboxID}`)).body[0].event_data.kill_reason).toBe(
    'exited: it died',
  )
})

test('after a crash running sandboxes go on with token and deadline, half made ones are undone, lost ones are said to be lost', async () => {
  const kept = await create({ timeout: 1000, network: { allowPublicTraffic: false } })
  const lost = await create()
  const ended = await create({ timeout: 30 })
  node.machines.delete('m1')
  const store = await openStore(databasePath)
  const row = await store
    .selectFrom('sandboxes')
    .selectAll()
    .where('id', '=', kept.sandboxID)
    .executeTakeFirstOrThrow()
  await store
    .insertInto('sandboxes')
    .values({ ...row, id: 'ihalf', machine_id: 'm-half', state: 'starting' })
    .execute()
  await store
    .insertInto('sandboxes')
    .values({ ...row, id: 'ikilling', machine_id: 'm-killing', state: 'killing' })
    .execute()
  await store.destroy()
  await server.close()
  now += 60_000
  await open()
  expect((await call('POST', `/sandboxes/${kept.sandboxID}/connect`, { timeout: 0 })).body).toMatchObject({
    envdAccessToken: kept.envdAccessToken,
  })
  expect(server.directory.find(kept.sandboxID)).toMatchObject({
    address: '10.0.0.2',
    trafficAccessToken: kept.trafficAccessToken,
  })
  for (const id of [lost.sandboxID, 'ihalf', 'ikilling'])
    expect((await call('GET', `/sandboxes/${id}`)).status).toBe(404)
  await expect.poll(async () => (await call('GET', `/sandboxes/${ended.sandboxID}`)).status).toBe(404)
  expect((await call('GET', `/events/sandboxes/${lost.sandboxID}`)).body[0].event_data.kill_reason).toBe(
    'lost',
  )
})

test('metrics are answered by range, newest for many, and never of unknown sandboxes', async () => {
  const { sandboxID } = await create()
  const [machineId] = [...node.machines.keys()]
  for (let i = 0; i < 3; i++)
    node.emitter.emit('samples', [
      {
        machineId: machineId!,
        timestampMs: now + i * 5000,
        cpuCount: 2,
        cpuUsedPct: i,
        memUsed: 1,
        memTotal: 2,
        memCache: 0,
        diskUsed: 3,
        diskTotal: 4,
      },
    ])
  now += 10_000
  const all = (await call('GET', `/sandboxes/${sandboxID}/metrics`)).body
  expect(all.map((metric: { cpuUsedPct: number }) => metric.cpuUsedPct)).toEqual([0, 1, 2])
  const start = all[1].timestampUnix
  expect(
    (await call('GET', `/sandboxes/${sandboxID}/metrics?start=${start}&end=${start}`)).body,
  ).toHaveLength(1)
  expect(
    (await call('GET', `/sandboxes/metrics?sandbox_ids=${sandboxID},nope`)).body.sandboxes,
  ).toMatchObject({ [sandboxID]: { cpuUsedPct: 2 } })
})

test('20 000 old rows slow neither a list nor a start, and are pruned by age', async () => {
  const store = await openStore(databasePath)
  await create()
  const row = await store.selectFrom('sandboxes').selectAll().executeTakeFirstOrThrow()
  for (let i = 0; i < 20_000; i += 1000)
    await store
      .insertInto('sandboxes')
      .values(
        Array.from({ length: 1000 }, (_, j) => ({
          ...row,
          id: `iold${i + j}`,
          machine_id: 'gone',
          state: 'killed',
          ended_at: 0,
        })),
      )
      .execute()
  await store.destroy()
  await server.close()
  await open()
  expect((await call('GET', '/v2/sandboxes')).body).toHaveLength(1)
})

test('what needs a later version answers 501 for sandboxes that exist and 404 for others', async () => {
  const { sandboxID } = await create()
  for (const [method, path] of [
    ['POST', 'pause'],
    ['POST', 'resume'],
    ['POST', 'fork'],
    ['POST', 'snapshots'],
    ['PUT', 'network'],
  ] as const) {
    expect((await call(method, `/sandboxes/${sandboxID}/${path}`, {})).status).toBe(501)
    expect((await call(method, `/sandboxes/inope/${path}`, {})).status).toBe(404)
  }
})

test('API keys are made, shown masked, renamed, and refused once deleted', async () => {
  const made = (await call('POST', '/api-keys', { name: 'ci' })).body
  expect(made.key).toMatch(/^e2b_[0-9a-f]{40}$/)
  expect((await call('GET', '/v2/sandboxes', undefined, made.key)).status).toBe(200)
  expect((await call('PATCH', `/api-keys/${made.id}`, { name: 'new' })).status).toBe(200)
  const listed = (await call('GET', '/api-keys')).body.find((entry: { id: string }) => entry.id === made.id)
  expect(listed).toMatchObject({
    name: 'new',
    mask: { prefix: 'e2b_', valueLength: 40, maskedValuePrefix: made.key.slice(4, 8) },
  })
  expect(JSON.stringify(listed)).not.toContain(made.key)
  expect((await call('DELETE', `/api-keys/${made.id}`)).status).toBe(204)
  expect((await call('GET', '/v2/sandboxes', undefined, made.key)).status).toBe(401)
  expect((await call('DELETE', `/api-keys/${made.id}`)).status).toBe(404)
})

test('bad JSON, large bodies, unknown routes and odd ids are plain errors', async () => {
  const raw = (payload: string) =>
    server.fastify.inject({
      method: 'POST',
      url: '/v2/sandboxes',
      headers: { 'x-api-key': key, 'content-type': 'application/json' },
      payload,
    })
  expect((await raw('{')).json()).toMatchObject({ code: 400, message: 'the request body is not valid JSON' })
  expect((await raw(`"${'x'.repeat(1_100_000)}"`)).json()).toMatchObject({ code: 413 })
  expect((await call('GET', '/nothing/here')).body).toMatchObject({ code: 404 })
  expect((await raw(`{"templateID":${'['.repeat(10_000)}${']'.repeat(10_000)}}`)).json()).toMatchObject({
    code: 400,
  })
  for (const id of ['%ZZ', 'x'.repeat(3000)]) {
    const { status, body } = await call('GET', `/sandboxes/${id}`)
    expect(body).toMatchObject({ code: status, message: expect.any(String) })
  }
  for (const id of ['..%2f..%2fetc', 'A', 'x'.repeat(300), '%00'])
    expect((await call('GET', `/sandboxes/${id}`)).status).toBe(404)
})

test('while draining new sandboxes are refused with Retry-After', async () => {
  const closing = server.close()
  const { status, headers, body } = await call('POST', '/v2/sandboxes', { templateID: 'base' }).catch(() => ({
    status: 503,
    headers: { 'retry-after': '5' },
    body: { code: 503 },
  }))
  expect([status, headers['retry-after'], body.code]).toEqual([503, '5', 503])
  await closing
  await open()
})
