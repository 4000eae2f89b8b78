import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

test('a killed sandbox is gone everywhere, and only one of two kills wins', async () => {
  const { sandboxID } = await t.create()
  const gone: string[] = []
  t.server.directory.onGone((id) => gone.push(id))
  const kills = await Promise.all([
    t.call('DELETE', `/sandboxes/${sandboxID}`),
    t.call('DELETE', `/sandboxes/${sandboxID}`),
  ])
  expect(kills.map(({ status }) => status).sort()).toEqual([204, 404])
  expect((await t.call('GET', `/sandboxes/${sandboxID}`)).body.message).toBe(
    `Sandbox "${sandboxID}" doesn't exist or you don't have access to it`,
  )
  expect([gone, t.node.machines.size, t.server.directory.find(sandboxID)]).toEqual([
    [sandboxID],
    0,
    undefined,
  ])
  const events = (await t.call('GET', `/events/sandboxes/${sandboxID}?orderAsc=true`)).body
  expect(events.map((event: { type: string }) => event.type)).toEqual([
    'sandbox.lifecycle.created',
    'sandbox.lifecycle.killed',
  ])
  expect(events[1].event_data).toMatchObject({
    kill_reason: 'request',
    execution: { vcpu_count: 2, memory_mb: 1024 },
  })
})

test('connect and refreshes only extend the time to live, timeout sets it', async () => {
  const { sandboxID } = await t.create({ timeout: 100 })
  const secondsLeft = async () =>
    (Date.parse((await t.call('GET', `/sandboxes/${sandboxID}`)).body.endAt) - t.now) / 1000
  expect((await t.call('POST', `/v2/sandboxes/${sandboxID}/connect`, { timeout: 10 })).status).toBe(200)
  expect(await secondsLeft()).toBe(100)
  await t.call('POST', `/sandboxes/${sandboxID}/connect`, { timeout: 500 })
  expect(await secondsLeft()).toBe(500)
  expect((await t.call('POST', `/sandboxes/${sandboxID}/timeout`, { timeout: 5 })).status).toBe(204)
  expect(await secondsLeft()).toBe(5)
  await t.call('POST', `/sandboxes/${sandboxID}/refreshes`, { duration: 60 })
  expect(await secondsLeft()).toBe(60)
  expect((await t.call('POST', `/sandboxes/${sandboxID}/connect`)).status).toBe(400)
})

test('a sandbox ends at its deadline', async () => {
  const { sandboxID } = await t.create()
  await t.call('POST', `/sandboxes/${sandboxID}/timeout`, { timeout: 0 })
  await expect.poll(async () => (await t.call('GET', `/sandboxes/${sandboxID}`)).status).toBe(404)
  const reason = async () => (await t.eventsOf(sandboxID)).at(-1)?.event_data.kill_reason
  await expect.poll(reason).toBe('timeout')
})

test('a machine that exits ends its sandbox with the reason', async () => {
  const { sandboxID } = await t.create()
  t.node.kill(t.node.firstMachine(), 'it died')
  await expect.poll(async () => (await t.call('GET', `/sandboxes/${sandboxID}`)).status).toBe(404)
  expect((await t.call('GET', `/events/sandboxes/${sandboxID}`)).body[0].event_data.kill_reason).toBe(
    'exited: it died',
  )
})

test('while draining, new sandboxes are refused with Retry-After, and pending creates are finished', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  t.node.acquiring = promise
  const pending = t.call('POST', '/v2/sandboxes', { templateID: 'base' })
  await expect.poll(() => t.node.acquireCalls).toBe(1)
  const closing = t.server.close()
  const refused = await t.call('POST', '/v2/sandboxes', { templateID: 'base' })
  expect([refused.status, refused.headers['retry-after'], refused.body.error_code]).toEqual([
    503,
    '5',
    'server_draining',
  ])
  resolve()
  const { status, body } = await pending
  expect(status).toBe(201)
  await closing
  await t.open()
  expect(await t.statusOf(body.sandboxID)).toBe(200)
})

test('while new sandboxes are refused, running ones can still be shown and killed', async () => {
  const { sandboxID } = await t.create()
  t.server.refuseNew()
  expect((await t.call('POST', '/sandboxes', { templateID: 'base' })).status).toBe(503)
  expect(await t.statusOf(sandboxID)).toBe(200)
  expect((await t.call('DELETE', `/sandboxes/${sandboxID}`)).status).toBe(204)
})

test('a sandbox is ended when its client disconnects before the answer, but not after it', async () => {
  const http = createServer((request, response) => t.server.fastify.routing(request, response)).listen(0)
  const { port } = http.address() as AddressInfo
  const post = (signal?: AbortSignal) =>
    fetch(`http://127.0.0.1:${port}/v2/sandboxes`, {
      method: 'POST',
      headers: { 'x-api-key': t.key, 'content-type': 'application/json' },
      body: '{"templateID":"base"}',
      signal,
    })
  const answered = (await (await post()).json()) as { sandboxID: string }
  const { promise, resolve } = Promise.withResolvers<void>()
  t.node.acquiring = promise
  const abort = new AbortController()
  const closed = once(http, 'request').then(([, response]) => once(response, 'close'))
  const aborted = post(abort.signal)
  await expect.poll(() => t.node.acquireCalls).toBe(2)
  abort.abort()
  await expect(aborted).rejects.toThrow()
  await closed
  resolve()
  const reasons = async () =>
    (await t.call('GET', '/events/sandboxes')).body.map(
      (event: { event_data: { kill_reason?: string } }) => event.event_data.kill_reason,
    )
  await expect.poll(reasons).toContain('abandoned')
  expect(await t.statusOf(answered.sandboxID)).toBe(200)
  expect(t.node.machines.size).toBe(1)
  http.close()
  http.closeAllConnections()
})

test('a drain does not wait longer than its timeout', async () => {
  t.node.acquiring = new Promise(() => {})
  t.call('POST', '/v2/sandboxes', { templateID: 'base' }).catch(() => {})
  await expect.poll(() => t.node.acquireCalls).toBe(1)
  const startedAt = performance.now()
  await t.server.close(50)
  expect(performance.now() - startedAt).toBeLessThan(2_000)
})

test('the edge is told before the machine stops, and a connect meanwhile is a conflict', async () => {
  const { sandboxID } = await t.create()
  const { promise, resolve } = Promise.withResolvers<void>()
  t.node.stopping = promise
  const gone = Promise.withResolvers<string>()
  t.server.directory.onGone(gone.resolve)
  const killed = t.call('DELETE', `/sandboxes/${sandboxID}`)
  expect(await gone.promise).toBe(sandboxID)
  expect([t.node.machines.size, t.server.directory.find(sandboxID)]).toEqual([1, undefined])
  const connected = await t.call('POST', `/v2/sandboxes/${sandboxID}/connect`, {})
  expect([connected.status, connected.body.code]).toEqual([409, 409])
  expect(await t.statusOf(sandboxID)).toBe(404)
  resolve()
  expect((await killed).status).toBe(204)
})

test('of concurrent connects the longest timeout wins, whatever their order', async () => {
  const { sandboxID } = await t.create({ timeout: 10 })
  const connect = (timeout: number) => t.call('POST', `/sandboxes/${sandboxID}/connect`, { timeout })
  await Promise.all([connect(50), connect(500), connect(60), connect(400), connect(30)])
  const { endAt } = (await t.call('GET', `/sandboxes/${sandboxID}`)).body
  expect(Date.parse(endAt) - t.now).toBe(500_000)
})

test('stopping a machine is retried until it succeeds, also after a deadline', async () => {
  const asked = await t.create()
  t.node.failStop = 1
  expect((await t.call('DELETE', `/sandboxes/${asked.sandboxID}`)).status).toBe(504)
  await expect.poll(() => t.node.machines.size, { timeout: 5_000 }).toBe(0)
  t.node.failStop = 1
  const expired = await t.create()
  await t.call('POST', `/sandboxes/${expired.sandboxID}/timeout`, { timeout: 0 })
  await expect.poll(() => t.node.machines.size, { timeout: 5_000 }).toBe(0)
  for (const [{ sandboxID }, reason] of [
    [asked, 'request'],
    [expired, 'timeout'],
  ] as const)
    await expect.poll(async () => (await t.eventsOf(sandboxID)).at(-1)?.event_data.kill_reason).toBe(reason)
})

test('invalid ids reach neither database nor node', async () => {
  await t.create()
  for (const id of ['..', '%2e%2e', 'i/../x', 'I-A', '%00', "'or'1", 'x'.repeat(65)])
    for (const [method, suffix] of [
      ['GET', ''],
      ['DELETE', ''],
      ['GET', '/logs'],
      ['GET', '/egress'],
    ] as const) {
      const { status, body } = await t.call(method, `/sandboxes/${id}${suffix}`)
      expect([400, 404]).toContain(status)
      expect(body.code).toBe(status)
    }
  expect(t.node.machines.size).toBe(1)
})
