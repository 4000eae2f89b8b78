import { SandlotError } from '@sandlot/protocol'
import { beforeEach, describe, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { VolumeStorageDouble } from '../test-support/volume-storage-double.ts'

const under = serverUnderTest({ volumes: new VolumeStorageDouble() })
let t: ServerUnderTest
let id: string
let volumeID: string
beforeEach(async () => {
  t = under.current
  volumeID = (await t.call('POST', '/volumes', { name: 'data' })).body.volumeID
  id = (await t.create()).sandboxID
})

const mount = (body: object, sandboxId = id) => t.call('POST', `/sandboxes/${sandboxId}/volumes`, body)
const unmount = (path: string, sandboxId = id) =>
  t.call('DELETE', `/sandboxes/${sandboxId}/volumes?path=${encodeURIComponent(path)}`)
const shown = async (sandboxId = id) => (await t.call('GET', `/sandboxes/${sandboxId}`)).body.volumeMounts
const onNode = () => [...t.node.volumes.values()].at(-1)?.map(({ path }) => path)
const DATA = { name: 'data', path: '/mnt/data' }

describe('a volume that is mounted into a running sandbox', () => {
  test('is shown, recorded with an event, in use, and there again after a pause, a rollback and in a fork', async () => {
    const { checkpointID } = (await t.act(id, 'checkpoints')).body
    expect(await mount({ ...DATA, path: '/mnt//data/', readOnly: true })).toMatchObject({
      status: 201,
      body: { ...DATA, readOnly: true },
    })
    const mounted = [{ ...DATA, readOnly: true }]
    expect(await shown()).toEqual(mounted)
    expect((await t.eventsOf(id)).at(-1)?.event_data.volume_mounts).toEqual([{ ...DATA, read_only: true }])
    const { logEntries } = (await t.call('GET', `/sandboxes/${id}/logs`)).body
    expect(logEntries.at(-1).message).toBe('sandbox updated: volumes data at /mnt/data (read-only)')
    expect((await t.call('DELETE', `/volumes/${volumeID}`)).body.message).toContain(id)
    await t.act(id, 'pause')
    await t.act(id, 'connect', { timeout: 60 })
    expect([await shown(), onNode()]).toEqual([mounted, ['/mnt/data']])
    const [{ sandbox: fork }] = (await t.act(id, 'fork', { count: 1 })).body
    expect([await shown(fork.sandboxID), onNode()]).toEqual([mounted, ['/mnt/data']])
    expect((await t.act(id, 'rollback', { checkpointID })).status).toBe(200)
    expect([await shown(), onNode()]).toEqual([mounted, ['/mnt/data']])
    await t.crash()
    expect([await shown(), t.node.known!.inUse.map(({ volumes }) => volumes?.length)]).toEqual([
      mounted,
      [1, 1],
    ])
  })

  test('is gone after an unmount, and free', async () => {
    await mount(DATA)
    expect((await unmount('/mnt/data/')).status).toBe(204)
    expect([await shown(), onNode()]).toEqual([undefined, []])
    const again = await unmount('/mnt/data')
    expect([again.status, again.body.error_code, again.body.message]).toEqual([
      404,
      'volume_not_mounted',
      "no volume is mounted at '/mnt/data': this sandbox has none",
    ])
    expect((await t.call('DELETE', `/volumes/${volumeID}`)).status).toBe(204)
    await t.crash()
    expect(t.node.known!.inUse.map(({ volumes }) => volumes)).toEqual([[]])
  })

  test('may be mounted twice in one way, and not in another', async () => {
    await mount(DATA)
    expect((await mount(DATA)).status).toBe(201)
    expect((await mount({ ...DATA, readOnly: true })).body).toMatchObject({
      code: 409,
      message: "path '/mnt/data' has volume 'data': unmount it first",
    })
    expect((await mount({ ...DATA, path: '/mnt/other' })).status).toBe(201)
    expect(await shown()).toHaveLength(2)
  })

  test.each([
    ['mnt', 400, 'path must be absolute'],
    ['', 400, 'path cannot be empty'],
    ['/', 400, "path '/' is needed by the sandbox itself"],
    ['/proc', 400, "path '/proc' is needed"],
    ['/a/../b', 400, "'.' or '..' components"],
  ])('is refused at %j', async (path, status, message) => {
    const answer = await mount({ name: 'data', path })
    expect([answer.status, answer.body.message]).toEqual([status, expect.stringContaining(message)])
    expect(await shown()).toBeUndefined()
  })
})

test('an unknown volume is a 400, an unknown sandbox a 404, and a paused one a 409', async () => {
  expect((await mount({ ...DATA, name: 'none' })).body).toMatchObject({
    code: 400,
    message: "volume 'none' not found",
  })
  expect((await mount(DATA, 'inope')).status).toBe(404)
  expect((await unmount('/mnt/data', 'inope')).status).toBe(404)
  await t.act(id, 'pause')
  for (const { body } of [await mount(DATA), await unmount('/mnt/data')])
    expect([body.code, body.message]).toEqual([
      409,
      `Sandbox "${id}" is paused: connect to it first, then mount or unmount volumes`,
    ])
})

test('a sandbox has at most 16 volumes', async () => {
  for (let index = 0; index < 16; index++)
    expect((await mount({ ...DATA, path: `/mnt/${index}` })).status).toBe(201)
  expect((await mount(DATA)).body.message).toBe(
    'a sandbox has at most 16 volumes, and this one has 16: unmount one first',
  )
})

test('a change that the node did not confirm is undone', async () => {
  t.node.failVolume = new SandlotError('volume_unavailable', 'no answer')
  expect((await mount(DATA)).status).toBe(503)
  expect([await shown(), onNode()]).toEqual([undefined, []])
  await mount(DATA)
  t.node.failVolume = new SandlotError('volume_unavailable', 'no answer')
  expect((await unmount('/mnt/data')).status).toBe(503)
  expect([(await shown()).length, onNode()]).toEqual([1, ['/mnt/data']])
})

test('a volume that was deleted meanwhile is named, and a machine that is gone is not found', async () => {
  t.node.missingVolumes.add(volumeID)
  expect((await mount(DATA)).body).toMatchObject({ code: 400, message: "volume 'data' does not exist" })
  t.node.machines.clear()
  expect((await mount(DATA)).status).toBe(404)
})
