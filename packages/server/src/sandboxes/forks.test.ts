import { beforeEach, describe, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

describe('a fork', () => {
  test('has its own id, tokens and deadline; the source keeps its own too', async () => {
    const source = await t.create({
      timeout: 1_000,
      metadata: { colour: 'blue' },
      network: { allowPublicTraffic: false },
    })
    const before = (await t.call('GET', `/sandboxes/${source.sandboxID}`)).body
    const { status, body } = await t.act(source.sandboxID, 'fork', { count: 3, timeout: 50 })
    expect(status).toBe(201)
    const all = [source, ...body.map((entry: { sandbox: object }) => entry.sandbox)]
    for (const key of ['sandboxID', 'envdAccessToken', 'trafficAccessToken'])
      expect(new Set(all.map((sandbox) => sandbox[key])).size).toBe(4)
    for (const { sandbox } of body) {
      const fork = (await t.call('GET', `/sandboxes/${sandbox.sandboxID}`)).body
      expect(fork).toMatchObject({
        metadata: { colour: 'blue' },
        templateID: source.templateID,
        state: 'running',
      })
      expect(Date.parse(fork.endAt) - t.now).toBe(50_000)
    }
    expect((await t.call('GET', `/sandboxes/${source.sandboxID}`)).body).toEqual(before)
    expect(t.node.machines.size).toBe(4)
  })

  test('makes one copy that lives 15 s by default, and leaves no checkpoint behind', async () => {
    const { sandboxID: id } = await t.create()
    const { body } = await t.act(id, 'fork')
    expect(body).toHaveLength(1)
    const { endAt } = (await t.call('GET', `/sandboxes/${body[0].sandbox.sandboxID}`)).body
    expect(Date.parse(endAt) - t.now).toBe(15_000)
    await expect.poll(async () => [await t.treeOf(id), t.node.saved.size]).toEqual([[], 0])
  })

  test('that fails is reported beside those that succeed', async () => {
    const { sandboxID: id } = await t.create()
    t.node.failResume = 2
    const { status, body } = await t.act(id, 'fork', { count: 5 })
    expect(status).toBe(201)
    expect(body.filter((entry: { error?: object }) => entry.error)).toEqual(
      Array.from({ length: 2 }, () => ({
        error: expect.objectContaining({ code: 503, message: 'no memory' }),
      })),
    )
    expect(t.node.machines.size).toBe(4)
    await expect.poll(() => t.node.saved.size).toBe(0)
  })

  test('counts toward the limit of its team', async () => {
    await t.limit({ concurrent_sandboxes: 3 })
    const { sandboxID: id } = await t.create()
    const { body } = await t.act(id, 'fork', { count: 4 })
    const codes = body.map((entry: { error?: { code: number } }) => entry.error?.code)
    expect(codes.sort()).toEqual([429, 429, undefined, undefined])
  })

  test.each([0, -1, 101, 1.5, 'two'])('cannot be made %s times', async (count) => {
    const { sandboxID: id } = await t.create()
    expect((await t.act(id, 'fork', { count })).status).toBe(400)
    expect(t.node.machines.size).toBe(1)
  })

  test('has checkpoints of its own, which are deleted with it', async () => {
    const { sandboxID: id } = await t.create()
    const { snapshotID } = (await t.snapshot(id)).body
    const fork = (await t.act(id, 'fork', { timeout: 60 })).body[0].sandbox.sandboxID
    await t.act(fork, 'pause')
    expect(await t.treeOf(fork)).toMatchObject([{ why: 'pause', isHead: true }])
    expect((await t.call('GET', `/sandboxes/${fork}/diff`)).body.code).toBe(400)
    await t.call('DELETE', `/sandboxes/${id}`)
    await t.deleteTemplate(snapshotID)
    await expect.poll(() => t.node.saved.size).toBe(1)
    await t.call('DELETE', `/sandboxes/${fork}`)
    await expect.poll(() => t.node.saved.size).toBe(0)
  })

  test('that runs does not keep files of its source', async () => {
    const { sandboxID: id } = await t.create()
    const { snapshotID } = (await t.snapshot(id)).body
    await t.act(id, 'fork', { timeout: 60 })
    await t.call('DELETE', `/sandboxes/${id}`)
    await t.deleteTemplate(snapshotID)
    await expect.poll(() => t.node.saved.size).toBe(0)
  })

  test('starts from a checkpoint that is none of the sandbox', async () => {
    const { sandboxID: id } = await t.create()
    const gate = Promise.withResolvers<void>()
    t.node.acquiring = gate.promise
    const forking = t.act(id, 'fork', { timeout: 50 })
    await expect.poll(() => t.node.resumes).toBe(1)
    const [checkpointId] = [...t.node.saved.keys()]
    expect(await t.treeOf(id)).toEqual([])
    expect((await t.act(id, 'rollback', { checkpointID: checkpointId })).status).toBe(404)
    await t.call('PUT', `/sandboxes/${id}/keep`, { last: 0 })
    await t.act(id, 'checkpoints')
    expect([...t.node.saved.keys()]).toContain(checkpointId)
    gate.resolve()
    expect((await forking).body).toMatchObject([{ sandbox: { sandboxID: expect.any(String) } }])
    await expect.poll(() => [...t.node.saved.keys()]).not.toContain(checkpointId)
  })

  test('is refused for a paused sandbox', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'pause')
    expect((await t.act(id, 'fork')).status).toBe(409)
    expect((await t.act('inever', 'fork')).status).toBe(404)
  })

  test('is what its source was when it was saved, although the source is paused while the fork starts', async () => {
    const { sandboxID: id } = await t.create()
    const { checkpointID } = (await t.act(id, 'checkpoints')).body
    const gate = Promise.withResolvers<void>()
    t.node.acquiring = gate.promise
    const forking = t.act(id, 'fork', { timeout: 50 })
    await expect.poll(() => t.node.resumes).toBe(1)
    expect((await t.act(id, 'pause')).status).toBe(204)
    gate.resolve()
    const forkId = (await forking).body[0].sandbox.sandboxID
    const row = await t.inStore((store) =>
      store.selectFrom('sandboxes').selectAll().where('id', '=', forkId).executeTakeFirstOrThrow(),
    )
    expect(row).toMatchObject({ state: 'running', paused_at: null, checkpoint_id: checkpointID })
  })
})
