import { CLOSED, OPEN } from '@sandlot/protocol/node'
import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const update = (id: string, body: object = {}) => t.call('PUT', `/sandboxes/${id}/network`, body)
const detail = async (id: string) => (await t.call('GET', `/sandboxes/${id}`)).body
const policy = () => [...t.node.policies.values()].at(-1)
const closed = { network: { denyOut: ['0.0.0.0/0'], allowOut: ['a.com'], dnsServers: [] } }

test('an update replaces all rules, tells the node and is recorded with an event', async () => {
  const { sandboxID: id } = await t.create({ ...closed, allow_internet_access: false })
  const { status, body } = await update(id, { denyOut: ['8.8.8.8/8'], rules: { 'A.com': [] } })
  expect([status, body]).toEqual([204, undefined])
  expect(policy()).toEqual({ ...OPEN, denyRanges: ['8.0.0.0/8'] })
  expect(await detail(id)).toMatchObject({
    allowInternetAccess: null,
    network: { denyOut: ['8.8.8.8/8'], rules: { 'A.com': [] } },
  })
  expect((await detail(id)).network).not.toHaveProperty('allowOut')
  expect((await t.eventsOf(id)).at(-1)).toMatchObject({
    type: 'sandbox.lifecycle.updated',
    event_data: { network_egress: { allowed_cidrs: [], denied_cidrs: ['8.0.0.0/8'], allowed_domains: [] } },
  })
  const { logEntries } = (await t.call('GET', `/sandboxes/${id}/logs`)).body
  expect(logEntries.at(-1).message).toBe('sandbox updated: network rules replaced')
  await t.crash()
  expect(t.node.known!.inUse.map(({ network }) => network)).toEqual([{ ...OPEN, denyRanges: ['8.0.0.0/8'] }])
})

test('an update without fields opens the network again, and open connections are cut only when asked', async () => {
  const { sandboxID: id } = await t.create(closed)
  expect((await update(id)).status).toBe(204)
  expect([policy(), t.node.cut]).toEqual([OPEN, []])
  expect((await update(id, { allow_internet_access: false, closeExisting: true })).status).toBe(204)
  expect([policy(), t.node.cut]).toEqual([{ ...CLOSED }, [t.node.firstMachine()]])
  expect((await detail(id)).allowInternetAccess).toBe(false)
})

test('rules of incoming requests are no part of an update', async () => {
  const network = { allowPublicTraffic: false, maskRequestHost: 'app', httpsPorts: [8443] }
  const { sandboxID: id, trafficAccessToken } = await t.create({ network })
  const entry = () => t.server.directory.find(id)
  const before = entry()
  await update(id, { allowPublicTraffic: true, maskRequestHost: 'other', httpsPorts: [1] })
  expect((await detail(id)).network).toEqual(network)
  expect(entry()).toEqual(before)
  expect(before).toMatchObject({ trafficAccessToken, maskRequestHost: 'app', httpsPorts: [8443] })
})

test('an update of an unknown sandbox is a 404, of a paused one a 409, and wrong rules are a 400', async () => {
  expect((await update('inope')).status).toBe(404)
  const { sandboxID: id } = await t.create(closed)
  const wrong = await update(id, { denyOut: ['a.com'] })
  expect([wrong.status, wrong.body.message]).toEqual([400, 'invalid denied CIDR a.com'])
  await t.act(id, 'pause')
  const { status, body } = await update(id)
  expect([status, body.message]).toEqual([
    409,
    `Sandbox "${id}" is not running: it is paused, and its network rules can be changed after a connect`,
  ])
  expect((await detail(id)).network).toEqual(closed.network)
})

test('a node that cannot change the rules leaves the old ones recorded and in force', async () => {
  const { sandboxID: id } = await t.create(closed)
  t.node.failSetNetwork = 1
  const { status, body } = await update(id)
  expect([status, body.error_code]).toEqual([503, 'firewall_unavailable'])
  expect((await detail(id)).network).toEqual(closed.network)
  expect(policy()).toMatchObject({ allowNames: ['a.com'] })
  expect((await t.eventsOf(id)).map(({ type }) => type)).toEqual(['sandbox.lifecycle.created'])
})

test('a sandbox whose machine is gone is not found', async () => {
  const { sandboxID: id } = await t.create()
  t.node.machines.clear()
  expect((await update(id)).status).toBe(404)
})

test('updates and a pause run one after the other, in order of arrival', async () => {
  const { sandboxID: id } = await t.create()
  const { promise, resolve } = Promise.withResolvers<void>()
  t.node.settingNetwork = promise
  const first = update(id, { denyOut: ['1.1.1.1'] })
  await new Promise(setImmediate)
  const second = update(id, { denyOut: ['2.2.2.2'] })
  await new Promise(setImmediate)
  const pause = t.act(id, 'pause')
  resolve()
  expect((await Promise.all([first, second, pause])).map(({ status }) => status)).toEqual([204, 204, 204])
  expect(policy()).toEqual({ ...OPEN, denyRanges: ['2.2.2.2/32'] })
  expect((await detail(id)).network).toEqual({ denyOut: ['2.2.2.2'] })
})
