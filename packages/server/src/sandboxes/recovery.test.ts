import { beforeEach, describe, expect, test } from 'vitest'
import type { TestDatabase } from '../test-support/database.ts'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { SandboxRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

/** Inserts rows as a crash in the middle of an operation leaves them. */
const insertLike = (sandboxId: string, rows: Array<Record<string, unknown>>) =>
  t.inStore(async (store) => {
    const row = await store
      .selectFrom('sandboxes')
      .selectAll()
      .where('id', '=', sandboxId)
      .executeTakeFirstOrThrow()
    for (let i = 0; i < rows.length; i += 1000)
      await store
        .insertInto('sandboxes')
        .values(rows.slice(i, i + 1000).map((changes) => ({ ...row, ...changes })))
        .execute()
  })

test('after a crash running sandboxes keep token, deadline and traffic token', async () => {
  const kept = await t.create({ timeout: 1000, network: { allowPublicTraffic: false } })
  const before = (await t.call('GET', `/sandboxes/${kept.sandboxID}`)).body
  t.now += 60_000
  await t.crash()
  const connected = await t.call('POST', `/sandboxes/${kept.sandboxID}/connect`, { timeout: 0 })
  expect(connected.body).toMatchObject({
    envdAccessToken: kept.envdAccessToken,
    trafficAccessToken: kept.trafficAccessToken,
  })
  expect((await t.call('GET', `/sandboxes/${kept.sandboxID}`)).body).toEqual(before)
  expect(t.server.directory.find(kept.sandboxID)).toMatchObject({
    address: '10.0.0.2',
    trafficAccessToken: kept.trafficAccessToken,
  })
})

test('after a crash unfinished creates are undone, unfinished kills are finished with their reason, and sandboxes without a machine are recorded as lost', async () => {
  const kept = await t.create()
  const lost = await t.create()
  t.node.machines.delete('m1')
  await insertLike(kept.sandboxID, [
    { id: 'ihalf', machine_id: 'm-half', state: 'starting' },
    { id: 'ikilling', machine_id: 'm-killing', state: 'killing', kill_reason: 'timeout' },
  ])
  await t.crash()
  for (const id of [lost.sandboxID, 'ihalf', 'ikilling']) expect(await t.statusOf(id)).toBe(404)
  expect(await t.statusOf(kept.sandboxID)).toBe(200)
  const reasonOf = async (id: string) => (await t.eventsOf(id)).at(-1)?.event_data.kill_reason
  expect([await reasonOf(lost.sandboxID), await reasonOf('ikilling'), await reasonOf('ihalf')]).toEqual([
    'lost',
    'timeout',
    undefined,
  ])
  const rows = await t.inStore((store) =>
    store.selectFrom('sandboxes').select(['id', 'state', 'kill_reason']).execute(),
  )
  expect(rows.find(({ id }) => id === 'ihalf')).toMatchObject({
    state: 'killed',
    kill_reason: 'create_failed',
  })
})

test('a deadline that passed while no server ran ends the sandbox at once', async () => {
  const { sandboxID } = await t.create({ timeout: 30 })
  t.now += 60_000
  await t.crash()
  await expect.poll(() => t.statusOf(sandboxID)).toBe(404)
  await expect.poll(async () => (await t.eventsOf(sandboxID)).at(-1)?.event_data.kill_reason).toBe('timeout')
})

test('templates keep their ids and keys work after a restart', async () => {
  const { templateID } = await t.create()
  const { key } = t
  await t.crash()
  expect(t.key).toBe(key)
  expect((await t.create()).templateID).toBe(templateID)
})

test('20 000 rows of killed sandboxes are neither loaded by a start nor listed, and are deleted in bounded batches by age', async () => {
  const { sandboxID } = await t.create()
  const old = Array.from({ length: 20_000 }, (_, i) => ({
    id: `iold${i}`,
    machine_id: 'gone',
    state: 'killed',
    ended_at: i,
  }))
  await insertLike(sandboxID, old)
  await t.crash()
  expect((await t.call('GET', '/v2/sandboxes')).body).toHaveLength(1)
  await t.inStore(async (store) => {
    const repository = new SandboxRepository(store)
    expect(await repository.alive()).toHaveLength(1)
    let pruned = 0
    for (let batch = 1; batch > 0; pruned += batch) {
      batch = await repository.prune(15_000)
      expect(batch).toBeLessThanOrEqual(500)
    }
    expect(pruned).toBe(15_000)
  })
})

describe('a crash', () => {
  const never = new Promise<void>(() => {})
  const stateOf = async (id: string) => (await t.call('GET', `/sandboxes/${id}`)).body.state
  const checkpointOf = (id: string) =>
    t.inStore(async (store) => {
      const row = await store
        .selectFrom('sandboxes')
        .select('checkpoint_id')
        .where('id', '=', id)
        .executeTakeFirst()
      return String(row?.checkpoint_id)
    })
  /** Starts a pause that hangs in the middle of the save. */
  async function beginPause(id: string): Promise<string> {
    t.node.saving = never
    t.act(id, 'pause').catch(() => {})
    await expect.poll(() => stateOf(id)).toBe('paused')
    t.node.saving = undefined
    return checkpointOf(id)
  }

  test('before the checkpoint is complete: the sandbox keeps running', async () => {
    const { sandboxID: id } = await t.create()
    const head = (await t.act(id, 'checkpoints')).body.checkpointID
    await beginPause(id)
    await t.crash()
    expect(await stateOf(id)).toBe('running')
    expect(t.server.directory.find(id)).toMatchObject({ state: 'running', address: '10.0.0.2' })
    expect(await t.treeOf(id)).toMatchObject([{ checkpointID: head, isHead: true }])
    expect((await t.act(id, 'pause')).status).toBe(204)
    expect((await t.treeOf(id)).at(-1)).toMatchObject({ parentID: head, isHead: true })
  })

  test('after the checkpoint is complete, before the row says so: the sandbox is paused', async () => {
    const { sandboxID: id } = await t.create()
    t.node.saved.add(await beginPause(id))
    await t.crash()
    expect(await stateOf(id)).toBe('paused')
    expect((await t.eventsOf(id)).at(-1)).toMatchObject({
      type: 'sandbox.lifecycle.paused',
      event_data: { pause_reason: 'recovered' },
    })
    expect(await t.treeOf(id)).toMatchObject([{ sizeBytes: 1000, isHead: true }])
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(201)
  })

  test('of server and machine during a pause: with a complete checkpoint nothing is lost', async () => {
    const [saved, unsaved] = [(await t.create()).sandboxID, (await t.create()).sandboxID]
    t.node.saved.add(await beginPause(saved))
    await beginPause(unsaved)
    t.node.machines.clear()
    await t.crash()
    expect((await t.act(saved, 'connect', { timeout: 50 })).status).toBe(201)
    expect(await t.statusOf(unsaved)).toBe(404)
    expect((await t.eventsOf(unsaved)).at(-1)?.event_data.kill_reason).toBe('lost')
  })

  test('of the whole machine while a sandbox is paused loses nothing', async () => {
    const { sandboxID: id, envdAccessToken } = await t.create({ metadata: { colour: 'blue' } })
    await t.act(id, 'pause')
    t.node.machines.clear()
    t.node.frozen.clear()
    await t.crash()
    expect((await t.call('GET', `/sandboxes/${id}`)).body).toMatchObject({
      state: 'paused',
      metadata: { colour: 'blue' },
    })
    expect((await t.act(id, 'connect', { timeout: 50 })).body.envdAccessToken).toBe(envdAccessToken)
  })

  test('while the disk with the checkpoints is missing: the sandbox stays paused, and is resumed once the disk is back', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'pause')
    const saved = [...t.node.saved]
    t.node.saved.clear()
    t.node.machines.clear()
    t.node.frozen.clear()
    await t.crash()
    expect(await stateOf(id)).toBe('paused')
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(404)
    for (const checkpointId of saved) t.node.saved.add(checkpointId)
    await t.crash()
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(201)
  })

  test('in the middle of a resume: the sandbox is paused and can be resumed, the machine that was started is removed', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'pause', { memory: false })
    t.node.machines.clear()
    t.node.frozen.clear()
    t.node.machines.set('half-resumed', undefined)
    await t.crash()
    expect(await stateOf(id)).toBe('paused')
    expect([...t.node.machines.keys()]).toEqual([])
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(201)
  })

  test('after a resume was written, before the thaw: the sandbox runs', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'pause')
    t.node.thaw = () => never
    t.act(id, 'connect', { timeout: 500 }).catch(() => {})
    const rowState = () =>
      t.inStore(
        async (store) => (await store.selectFrom('sandboxes').select('state').executeTakeFirst())?.state,
      )
    await expect.poll(rowState).toBe('running')
    await t.crash()
    expect(await stateOf(id)).toBe('running')
    expect(t.server.directory.find(id)?.state).toBe('running')
  })

  test('in the middle of a snapshot or a fork: the sandbox runs, unfinished checkpoints are no longer listed', async () => {
    const { sandboxID: id } = await t.create()
    for (const what of ['snapshots', 'fork']) {
      t.node.saving = never
      t.act(id, what).catch(() => {})
      const written = () => t.inStore((store) => store.selectFrom('checkpoints').select('id').execute())
      await expect.poll(async () => (await written()).length).toBe(1)
      t.node.saved.add((await written())[0]!.id)
      t.node.saving = undefined
      await t.crash()
      expect(await stateOf(id)).toBe('running')
      expect(await written()).toEqual([])
      expect([...t.node.unlisted].sort()).toEqual([...t.node.saved].sort())
    }
  })

  test('in the middle of a rollback: the sandbox runs on the machine that its row names', async () => {
    const { sandboxID: id } = await t.create()
    const { checkpointID } = (await t.act(id, 'checkpoints')).body
    const before = t.node.firstMachine()
    t.node.acquiring = never
    t.act(id, 'rollback', { checkpointID }).catch(() => {})
    await expect.poll(() => t.node.resumes).toBe(1)
    t.node.acquiring = undefined
    t.node.machines.set('half-rolled-back', undefined)
    await t.crash()
    expect(await stateOf(id)).toBe('running')
    expect([...t.node.machines.keys()]).toEqual([before])
  })

  test('between the end of a sandbox and the deletion of its checkpoints: the next start deletes them', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'checkpoints')
    const removeCheckpoint = t.node.removeCheckpoint
    t.node.removeCheckpoint = () => never
    expect(await t.call('DELETE', `/sandboxes/${id}`)).toMatchObject({ status: 204 })
    await t.crash()
    expect(t.node.saved.size).toBe(1)
    t.node.removeCheckpoint = removeCheckpoint
    await t.crash()
    await expect.poll(() => t.node.saved.size).toBe(0)
    expect([...t.node.unlisted]).toEqual([])
    await expect
      .poll(() => t.inStore((store) => store.selectFrom('checkpoints').select('id').execute()))
      .toEqual([])
  })

  test('between the deletion of a template and that of its checkpoints: the next start deletes them', async () => {
    const { sandboxID: id } = await t.create()
    const { snapshotID } = (await t.act(id, 'snapshots')).body
    await t.call('DELETE', `/sandboxes/${id}`)
    const removeCheckpoint = t.node.removeCheckpoint
    t.node.removeCheckpoint = () => never
    t.call('DELETE', `/templates/${snapshotID.split(':')[0]}`).catch(() => {})
    const states = () => t.inStore((store) => store.selectFrom('checkpoints').select('state').execute())
    await expect.poll(states).toEqual([{ state: 'deleting' }])
    t.node.removeCheckpoint = removeCheckpoint
    await t.crash()
    await expect.poll(() => t.node.saved.size).toBe(0)
    await expect.poll(states).toEqual([])
  })

  test('does not count paused sandboxes toward the limit of their team', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'pause')
    await t.limit({ concurrent_sandboxes: 1 })
    await t.crash()
    expect((await t.create()).sandboxID).toBeDefined()
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(429)
  })

  test('keeps the sizes of checkpoints', async () => {
    const { sandboxID: id } = await t.create()
    await t.act(id, 'pause')
    const before = [await t.treeOf(id), (await t.call('GET', '/usage/storage')).body]
    await t.crash()
    expect([await t.treeOf(id), (await t.call('GET', '/usage/storage')).body]).toEqual(before)
  })

  test('in the middle of a rollback of a paused sandbox never pairs the older checkpoint with the newer memory', async () => {
    const { sandboxID: id } = await t.create()
    const { checkpointID } = (await t.act(id, 'checkpoints')).body
    await t.act(id, 'pause')
    const [machineId] = t.node.machines.keys()
    t.node.stopping = never
    t.act(id, 'rollback', { checkpointID }).catch(() => {})
    await expect.poll(() => t.node.stops).toBe(1)
    t.node.stopping = undefined
    await t.crash()
    const isFrozen = t.node.machines.has(machineId!)
    expect([isFrozen, (await checkpointOf(id)) === checkpointID]).not.toEqual([true, true])
    expect((await t.act(id, 'connect', { timeout: 50 })).status).toBe(201)
  })
})

describe('a start with another database, which lists nothing of this one, deletes nothing', () => {
  /** Starts on another database, then on the original again. */
  async function meanwhile(other: TestDatabase, look: () => Promise<void>): Promise<void> {
    await t.server.close(0)
    const { key, database } = t
    t.database = other
    await t.open()
    await look()
    await t.server.close(0)
    t.database = database
    t.key = key
    await t.open()
  }
  const resumes = async (id: string) => (await t.act(id, 'connect', { timeout: 50 })).status

  test("an empty database, although data is marked with the database's id", async () => {
    const [paused, running] = [(await t.create()).sandboxID, (await t.create()).sandboxID]
    await t.act(paused, 'pause')
    await t.act(running, 'snapshots')
    // machines of paused sandboxes are only a cache: the checkpoint has everything
    const machines = [...t.node.machines.keys()].filter((id) => !t.node.frozen.has(id))
    const before = [...t.node.saved]
    const { instanceId } = t.node.known!
    await meanwhile(await t.database.empty(), async () => {
      expect(t.node.known!.instanceId).not.toBe(instanceId)
      expect([[...t.node.saved], [...t.node.machines.keys()]]).toEqual([before, machines])
      expect([...t.node.unlisted].sort()).toEqual([...before, ...machines].sort())
    })
    expect(t.node.known!.instanceId).toBe(instanceId)
    expect([...t.node.unlisted]).toEqual([])
    expect(await resumes(paused)).toBe(201)
    expect(await t.statusOf(running)).toBe(200)
  })

  test('a database as of a week ago, with the same id', async () => {
    const { sandboxID: old } = await t.create()
    const atSave = await t.database.copy()
    const { sandboxID: paused } = await t.create()
    await t.act(paused, 'pause')
    await t.act(old, 'pause')
    const { instanceId } = t.node.known!
    await meanwhile(atSave, async () => {
      expect(t.node.known!.instanceId).toBe(instanceId)
      expect(await t.statusOf(paused)).toBe(404)
      expect(t.node.saved.size).toBe(2)
    })
    for (const id of [paused, old]) expect(await resumes(id)).toBe(201)
  })

  test('a database whose unfinished operations this one has finished', async () => {
    const { sandboxID: id } = await t.create()
    t.node.saving = new Promise<void>(() => {})
    t.act(id, 'checkpoints').catch(() => {})
    const ids = () => t.inStore((store) => store.selectFrom('checkpoints').select('id').execute())
    await expect.poll(async () => (await ids()).length).toBe(1)
    const [written] = await ids()
    t.node.saved.add(written!.id)
    await t.crash()
    expect([...t.node.saved]).toEqual([written!.id])
  })
})
