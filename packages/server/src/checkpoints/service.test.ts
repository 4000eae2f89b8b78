import { beforeEach, describe, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const checkpoint = async (id: string) => (await t.act(id, 'checkpoints')).body.checkpointID as string

describe('the tree of a sandbox', () => {
  test('lists checkpoints with parent, time, size and reason, oldest first', async () => {
    const { sandboxID: id } = await t.create()
    const first = await checkpoint(id)
    const { snapshotID } = (await t.snapshot(id, 'mine')).body
    await t.act(id, 'pause')
    const nodes = await t.treeOf(id)
    expect(nodes).toMatchObject([
      {
        checkpointID: first,
        parentID: null,
        why: 'checkpoint',
        memory: true,
        sizeBytes: 1000,
        isHead: false,
        names: [],
      },
      { parentID: first, why: 'snapshot', isHead: false, names: [snapshotID] },
      { parentID: nodes[1].checkpointID, why: 'pause', isHead: true, names: [] },
    ])
    expect(nodes.map(({ createdAt }: { createdAt: string }) => t.now - Date.parse(createdAt))).toEqual([
      2_000, 1_000, 0,
    ])
  })

  test('continues from the checkpoint that the sandbox was rolled back to', async () => {
    const { sandboxID: id } = await t.create()
    const root = await checkpoint(id)
    const left = await checkpoint(id)
    await t.act(id, 'rollback', { checkpointID: root })
    const right = await checkpoint(id)
    expect(
      (await t.treeOf(id)).map((node: { checkpointID: string; parentID: string }) => [
        node.checkpointID,
        node.parentID,
      ]),
    ).toEqual([
      [root, null],
      [left, root],
      [right, root],
    ])
  })

  test('keeps the three newest beside the head, or as many as the policy says, and all snapshots', async () => {
    const { sandboxID: id } = await t.create()
    await t.snapshot(id)
    for (let i = 0; i < 6; i++) await checkpoint(id)
    await expect
      .poll(async () => (await t.treeOf(id)).map(({ why }: { why: string }) => why))
      .toEqual(['snapshot', ...Array(4).fill('checkpoint')])
    await expect
      .poll(async () => {
        const [oldest, next] = await t.treeOf(id)
        return next.parentID === oldest.checkpointID
      })
      .toBe(true)
    expect((await t.call('PUT', `/sandboxes/${id}/keep`, { last: 1 })).status).toBe(204)
    await expect.poll(async () => (await t.treeOf(id)).length).toBe(3)
    expect((await t.call('GET', `/sandboxes/${id}/tree`)).body.keep).toEqual({ last: 1 })
    await t.crash()
    expect((await t.call('GET', `/sandboxes/${id}/tree`)).body.keep).toEqual({ last: 1 })
    expect(t.node.saved.size).toBe(3)
  })

  test('loses checkpoints that are older than the policy allows, but never the head', async () => {
    const { sandboxID: id } = await t.create({ timeout: 3600 })
    await checkpoint(id)
    const head = await checkpoint(id)
    t.now += 60_000
    await t.call('PUT', `/sandboxes/${id}/keep`, { last: 10, maxAgeSeconds: 10 })
    await expect
      .poll(async () => (await t.treeOf(id)).map((node: { checkpointID: string }) => node.checkpointID))
      .toEqual([head])
  })

  test.each([{}, { last: -1 }, { last: 1.5 }, { last: 1001 }, { last: 1, maxAgeSeconds: -1 }])(
    'is not kept by %j',
    async (keep) => {
      const { sandboxID: id } = await t.create()
      expect((await t.call('PUT', `/sandboxes/${id}/keep`, keep)).status).toBe(400)
    },
  )

  test('is deleted with the sandbox, and counts as storage until then', async () => {
    const { sandboxID: id } = await t.create()
    await checkpoint(id)
    await checkpoint(id)
    const usage = async () => (await t.call('GET', '/usage/storage')).body
    expect(await usage()).toMatchObject({ checkpoints: 2, sizeBytes: 2000, limitBytes: null })
    await t.call('DELETE', `/sandboxes/${id}`)
    await expect.poll(usage).toMatchObject({ checkpoints: 0, sizeBytes: 0 })
    expect(t.node.saved.size).toBe(0)
  })
})

describe('a rollback', () => {
  test('of a paused sandbox to a checkpoint that is about to be deleted keeps that checkpoint', async () => {
    const { sandboxID: id } = await t.create()
    const [first, second] = [await checkpoint(id), await checkpoint(id)]
    await checkpoint(id)
    await t.call('PUT', `/sandboxes/${id}/keep`, { last: 3 })
    await t.act(id, 'pause')
    const { removeCheckpoint } = t.node
    const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    t.node.removeCheckpoint = async (checkpointId) => {
      reached.resolve()
      await gate.promise
      await removeCheckpoint(checkpointId)
    }
    await t.call('PUT', `/sandboxes/${id}/keep`, { last: 1 })
    await reached.promise
    expect((await t.act(id, 'rollback', { checkpointID: second })).status).toBe(404)
    expect((await t.act(id, 'rollback', { checkpointID: first })).status).toBe(200)
    gate.resolve()
    await expect.poll(() => t.node.saved.has(second)).toBe(false)
    await t.server.close()
    await t.open()
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(201)
  })

  test('of a running sandbox keeps id, token and deadline, and ends the old machine', async () => {
    const { sandboxID: id, envdAccessToken } = await t.create({ timeout: 1_000 })
    const checkpointID = await checkpoint(id)
    const before = (await t.call('GET', `/sandboxes/${id}`)).body
    const old = t.node.firstMachine()
    const gone: string[] = []
    t.server.directory.onGone((sandboxId) => gone.push(sandboxId))
    const { status, body } = await t.act(id, 'rollback', { checkpointID })
    expect(status).toBe(200)
    expect(body).toMatchObject({ sandboxID: id, envdAccessToken })
    expect((await t.call('GET', `/sandboxes/${id}`)).body).toEqual(before)
    expect([...t.node.machines.keys()]).not.toContain(old)
    expect(t.node.machines.size).toBe(1)
    expect(gone).toEqual([id])
    expect((await t.eventsOf(id)).at(-1)).toMatchObject({
      type: 'sandbox.lifecycle.updated',
      event_data: { rollback: { checkpoint_id: checkpointID } },
    })
  })

  test('of a paused sandbox changes the checkpoint that it is resumed from, and drops the frozen memory', async () => {
    const { sandboxID: id } = await t.create()
    const checkpointID = await checkpoint(id)
    await t.act(id, 'pause')
    expect((await t.act(id, 'rollback', { checkpointID })).status).toBe(200)
    expect((await t.call('GET', `/sandboxes/${id}`)).body.state).toBe('paused')
    expect(t.node.machines.size).toBe(0)
    expect((await t.treeOf(id)).find((node: { isHead: boolean }) => node.isHead).checkpointID).toBe(
      checkpointID,
    )
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(201)
  })

  test('that fails leaves the sandbox as it was', async () => {
    const { sandboxID: id } = await t.create()
    const checkpointID = await checkpoint(id)
    await checkpoint(id)
    const before = await t.treeOf(id)
    t.node.failResume = 1
    expect((await t.act(id, 'rollback', { checkpointID })).status).toBe(503)
    t.node.failInit = 1
    expect((await t.act(id, 'rollback', { checkpointID })).status).toBeGreaterThanOrEqual(500)
    expect(await t.treeOf(id)).toEqual(before)
    await expect.poll(() => t.node.machines.size).toBe(1)
    expect(t.server.directory.find(id)?.state).toBe('running')
  })

  test('accepts only checkpoints of the same sandbox', async () => {
    const { sandboxID: id } = await t.create()
    const other = await t.create()
    const foreign = await checkpoint(other.sandboxID)
    for (const checkpointID of [foreign, 'cnothing', '../x'])
      expect((await t.act(id, 'rollback', { checkpointID })).body).toMatchObject({ code: 404 })
    expect((await t.act(id, 'rollback')).status).toBe(400)
  })

  test('to a damaged checkpoint is refused, and a resume from one names the previous checkpoint', async () => {
    const { sandboxID: id } = await t.create()
    const older = await checkpoint(id)
    await t.act(id, 'pause')
    t.node.damaged.add((await t.treeOf(id)).at(-1).checkpointID)
    const refused = await t.act(id, 'connect', { timeout: 50 })
    expect(refused.body).toMatchObject({
      error_code: 'checkpoint_damaged',
      message: expect.stringContaining(`POST /sandboxes/${id}/rollback {"checkpointID":"${older}"}`),
    })
    expect((await t.call('GET', `/sandboxes/${id}`)).body.state).toBe('paused')
    expect((await t.act(id, 'rollback', { checkpointID: older })).status).toBe(200)
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(201)
  })

  test('a damaged checkpoint without a previous one is reported as such, and the sandbox can be killed', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'pause')
    t.node.damaged.add((await t.treeOf(id))[0].checkpointID)
    expect((await t.act(id, 'connect', { timeout: 50 })).body.message).toMatch(/there is no older one$/)
    expect((await t.call('DELETE', `/sandboxes/${id}`)).status).toBe(204)
  })
})

describe('a diff', () => {
  test('compares the newest checkpoint with its parent, or two named checkpoints', async () => {
    const { sandboxID: id } = await t.create()
    const [a, b, c] = [await checkpoint(id), await checkpoint(id), await checkpoint(id)]
    const diff = async (query = '') => (await t.call('GET', `/sandboxes/${id}/diff${query}`)).body
    expect(await diff()).toEqual({
      from: b,
      to: c,
      added: [`${b} ${c}`],
      changed: [],
      deleted: [],
      isTruncated: false,
    })
    expect(await diff(`?from=${a}`)).toMatchObject({ from: a, to: c })
    expect(await diff(`?to=${b}`)).toMatchObject({ from: a, to: b })
    expect(await diff(`?from=${c}&to=${a}`)).toMatchObject({ from: c, to: a })
    expect(await diff(`?from=cnothing`)).toMatchObject({ code: 404 })
    expect(await diff(`?to=${a}`)).toMatchObject({ code: 400 })
  })

  test('needs two checkpoints', async () => {
    const { sandboxID: id } = await t.create()
    expect((await t.call('GET', `/sandboxes/${id}/diff`)).body.code).toBe(400)
  })

  test('of very many paths is truncated and says so', async () => {
    const { sandboxID: id } = await t.create()
    await checkpoint(id)
    await checkpoint(id)
    const paths = Array.from({ length: 10_001 }, (_, i) => `/${i}`)
    t.node.diff = async () => ({ added: paths, changed: [], deleted: ['/x'] })
    const { body } = await t.call('GET', `/sandboxes/${id}/diff`)
    expect([body.added.length, body.deleted, body.isTruncated]).toEqual([10_000, ['/x'], true])
  })
})
