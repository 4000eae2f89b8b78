import { beforeEach, describe, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const snapshots = async (query = '') => (await t.call('GET', `/snapshots${query}`)).body
const idsOf = (list: Array<{ snapshotID: string }>) => list.map(({ snapshotID }) => snapshotID)

describe('a snapshot', () => {
  test('without a name has the id of a template, and the sandbox keeps running', async () => {
    const { sandboxID: id } = await t.create()
    const { status, body } = await t.snapshot(id)
    expect(status).toBe(201)
    expect(body).toEqual({ snapshotID: expect.stringMatching(/^[a-z0-9]{20}:default$/), names: [] })
    expect((await t.call('GET', `/sandboxes/${id}`)).body.state).toBe('running')
    expect(await t.treeOf(id)).toMatchObject([{ why: 'snapshot', isHead: true, names: [body.snapshotID] }])
  })

  test('with a name is <team>/<name>:<tag>, and a second one with the same name is another build of the same template', async () => {
    const { sandboxID: id } = await t.create()
    const first = (await t.snapshot(id, 'Mine')).body
    expect(first.names).toEqual([expect.stringMatching(/^[^/]+\/mine$/)])
    expect(first.snapshotID).toBe(`${first.names[0]}:default`)
    const tagged = (await t.snapshot(id, 'mine:v2')).body
    expect(tagged).toEqual({ snapshotID: `${first.names[0]}:v2`, names: first.names })
    const templateOf = async (templateID: string) => (await t.create({ templateID })).templateID
    expect(await templateOf(tagged.snapshotID)).toBe(await templateOf(first.snapshotID))
    expect((await t.call('POST', '/v2/sandboxes', { templateID: 'mine:v3' })).status).toBe(404)
  })

  test('with the same new name, taken concurrently, is another build of the same template; the later one has the tag', async () => {
    const ids = [(await t.create()).sandboxID, (await t.create()).sandboxID]
    const { promise, resolve } = Promise.withResolvers<void>()
    t.node.addingBuild = promise
    const making = Promise.all(ids.map((id) => t.snapshot(id, 'mine')))
    const isSaved = async () => (await Promise.all(ids.map(t.treeOf))).every((tree) => tree.length === 1)
    await expect.poll(isSaved).toBe(true)
    resolve()
    const made = await making
    expect(made.map(({ status }) => status)).toEqual([201, 201])
    expect(new Set(made.map(({ body }) => body.snapshotID)).size).toBe(1)
    const [one, another] = (await t.call('GET', '/templates')).body.filter(({ names }: { names: string[] }) =>
      names.some((name) => name.endsWith('/mine')),
    )
    expect([one.buildCount, another]).toEqual([2, undefined])
    expect(t.node.teamBuilds.size).toBe(2)
    const later = (await Promise.all(ids.map(t.treeOf))).flat().find(({ names }) => names.length > 0)
    expect(await snapshots()).toMatchObject([{ snapshotID: made[0]!.body.snapshotID }])
    const user = await t.create({ templateID: 'mine' })
    expect(user.templateID).toBe(one.templateID)
    await t.crash()
    expect((await Promise.all(ids.map(t.treeOf))).flat().find(({ names }) => names.length > 0)).toEqual(later)
  })

  test.each(['no spaces', 'ümlaut', '', 'another-team/mine', 'mine:no/tag'])(
    'cannot be called %j',
    async (name) => {
      const { sandboxID: id } = await t.create()
      expect((await t.snapshot(id, name)).body).toMatchObject({
        code: 400,
        message: expect.stringMatching(/use/),
      })
      expect(t.node.saved.size).toBe(0)
    },
  )

  test('is refused for a paused sandbox', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'pause')
    expect((await t.snapshot(id)).status).toBe(409)
    expect((await t.snapshot('inever')).status).toBe(404)
  })

  test('starts any number of sandboxes, each with its own tokens, also after its source is gone', async () => {
    const { sandboxID: id, envdAccessToken } = await t.create()
    const { snapshotID } = (await t.snapshot(id)).body
    await t.call('DELETE', `/sandboxes/${id}`)
    const created = [await t.create({ templateID: snapshotID }), await t.create({ templateID: snapshotID })]
    expect(new Set([envdAccessToken, ...created.map((sandbox) => sandbox.envdAccessToken)]).size).toBe(3)
    expect(t.node.saved.size).toBe(1)
    await t.crash()
    expect((await t.create({ templateID: snapshotID })).sandboxID).toBeDefined()
  })

  test('that cannot be saved leaves no checkpoint and no template', async () => {
    const { sandboxID: id } = await t.create()
    t.node.failSave = 1
    expect((await t.snapshot(id, 'mine')).status).toBe(507)
    expect([await t.treeOf(id), await snapshots(), t.node.teamBuilds.size]).toEqual([[], [], 0])
    expect((await t.snapshot(id, 'mine')).status).toBe(201)
  })

  test('is deleted once, with its checkpoint', async () => {
    const { sandboxID: id } = await t.create()
    const { snapshotID } = (await t.snapshot(id)).body
    await t.call('DELETE', `/sandboxes/${id}`)
    expect((await t.deleteTemplate(snapshotID)).status).toBe(204)
    expect((await t.deleteTemplate(snapshotID)).body).toMatchObject({ code: 404 })
    await expect.poll(() => [t.node.saved.size, t.node.teamBuilds.size]).toEqual([0, 0])
    expect((await t.call('POST', '/v2/sandboxes', { templateID: snapshotID })).status).toBe(404)
  })

  test('is not deleted while sandboxes use it, running or paused', async () => {
    const { sandboxID: id } = await t.create()
    const { snapshotID } = (await t.snapshot(id)).body
    const user = (await t.create({ templateID: snapshotID })).sandboxID
    for (const act of [async () => {}, () => t.act(user, 'pause')]) {
      await act()
      expect((await t.deleteTemplate(snapshotID)).body).toMatchObject({
        code: 400,
        message: expect.stringContaining(user),
      })
    }
    await t.call('DELETE', `/sandboxes/${user}`)
    expect((await t.deleteTemplate(snapshotID)).status).toBe(204)
  })

  test('that sandboxes of another team use is not deleted, and their ids are not shown', async () => {
    const { snapshotID } = (await t.snapshot((await t.create()).sandboxID)).body
    const user = (await t.create({ templateID: snapshotID })).sandboxID
    await t.inStore((store) =>
      store.updateTable('sandboxes').set({ team_id: 'another' }).where('id', '=', user).execute(),
    )
    await t.crash()
    const { message } = (await t.deleteTemplate(snapshotID)).body
    expect(message).toContain('is used by 1 sandboxes (of other teams)')
    expect(message).not.toContain(user)
  })

  test('that is deleted leaves the checkpoint of the sandbox that descends from it', async () => {
    const { sandboxID: id } = await t.create()
    const { snapshotID } = (await t.snapshot(id)).body
    await t.deleteTemplate(snapshotID)
    const [head] = await t.treeOf(id)
    expect(head).toMatchObject({ isHead: true, names: [] })
    expect(t.node.saved.has(head.checkpointID)).toBe(true)
    expect((await t.act(id, 'rollback', { checkpointID: head.checkpointID })).status).toBe(200)
  })

  test('that is deleted while a paused sandbox is being rolled back to it leaves the checkpoint of that sandbox', async () => {
    const { sandboxID: id } = await t.create()
    const { snapshotID } = (await t.snapshot(id)).body
    const [{ checkpointID }] = await t.treeOf(id)
    await t.act(id, 'pause')
    const { stop } = t.node
    const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    t.node.stop = async (machineId) => {
      reached.resolve()
      await gate.promise
      await stop.call(t.node, machineId)
    }
    const rollback = t.act(id, 'rollback', { checkpointID })
    await reached.promise
    const deletion = t.deleteTemplate(snapshotID)
    await expect.poll(() => snapshots()).toEqual([])
    gate.resolve()
    expect([(await rollback).status, (await deletion).status]).toEqual([200, 204])
    expect(t.node.saved.has(checkpointID)).toBe(true)
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(201)
  })
})

describe('the list of snapshots', () => {
  test('is in pages, newest first', async () => {
    const { sandboxID: id } = await t.create()
    const made: string[] = []
    for (let i = 0; i < 5; i++) made.unshift((await t.snapshot(id)).body.snapshotID)
    const seen: string[] = []
    let token: unknown
    do {
      const page = await t.call('GET', `/snapshots?limit=2${token ? `&nextToken=${token}` : ''}`)
      expect(page.body.length).toBeLessThanOrEqual(2)
      seen.push(...idsOf(page.body))
      token = page.headers['x-next-token']
    } while (token)
    expect(seen).toEqual(made)
    expect((await t.call('GET', '/snapshots?nextToken=rubbish')).status).toBe(400)
  })

  test('is filtered by sandbox and by name or id, with or without tag; unknown values match none', async () => {
    const [one, two] = [(await t.create()).sandboxID, (await t.create()).sandboxID]
    const named = (await t.snapshot(one, 'mine')).body.snapshotID
    const tagged = (await t.snapshot(one, 'mine:v2')).body.snapshotID
    const anonymous = (await t.snapshot(two)).body.snapshotID
    expect(idsOf(await snapshots(`?sandboxID=${two}`))).toEqual([anonymous])
    for (const name of ['mine', named.split(':')[0]])
      expect(idsOf(await snapshots(`?name=${encodeURIComponent(name)}`))).toEqual([tagged, named])
    for (const id of [named, tagged, anonymous])
      expect(idsOf(await snapshots(`?name=${encodeURIComponent(id)}`))).toEqual([id])
    expect(idsOf(await snapshots(`?name=${anonymous.split(':')[0]}`))).toEqual([anonymous])
    for (const query of [
      '?name=nothing',
      '?name=mine:v3',
      '?sandboxID=inever',
      `?sandboxID=${two}&name=mine`,
    ])
      expect(await snapshots(query)).toEqual([])
  })
})

describe('a quota of storage', () => {
  test('that is used up refuses snapshots and checkpoints, but never a pause or a fork', async () => {
    await t.limit({ storage_mb: 0 })
    const { sandboxID: id } = await t.create()
    for (const what of ['snapshots', 'checkpoints'])
      expect((await t.act(id, what)).body).toMatchObject({
        code: 429,
        message: expect.stringMatching(
          /keeps 0 MB of checkpoints and archives of builds, its plan allows 0: delete snapshots/,
        ),
      })
    expect(t.node.saved.size).toBe(0)
    expect((await t.act(id, 'fork')).status).toBe(201)
    expect((await t.act(id, 'pause')).status).toBe(204)
    expect((await t.call('GET', '/usage/storage')).body.limitBytes).toBe(0)
  })

  test('allows snapshots while there is room', async () => {
    await t.limit({ storage_mb: 1 })
    const { sandboxID: id } = await t.create()
    expect((await t.snapshot(id)).status).toBe(201)
  })
})

test('a snapshot without memory is marked as such in the tree, and is a template like any other', async () => {
  const { sandboxID: id } = await t.create()
  const { status, body } = await t.act(id, 'snapshots', { name: 'files', memory: false })
  expect([status, body.names]).toEqual([201, ['default/files']])
  expect((await t.treeOf(id))[0]).toMatchObject({ why: 'snapshot', memory: false })
  expect([...t.node.snapshots.values()]).toEqual([{ isTransient: false, hasMemory: false }])
  expect((await t.call('POST', '/v2/sandboxes', { templateID: body.snapshotID })).status).toBe(201)
  await t.snapshot(id)
  expect((await t.treeOf(id))[1]).toMatchObject({ memory: true })
})
