import { isDeepStrictEqual } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DatabaseFaults, FAULTS, type Write } from '../test-support/database-faults.ts'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { networkPolicyOf } from './network-policy.ts'

const under = serverUnderTest()
let t: ServerUnderTest
let faults: DatabaseFaults
beforeEach(() => {
  t = under.current
  faults = new DatabaseFaults()
})
afterEach(() => faults.restore())

interface Operation {
  name: string
  writes: Write[]
  /** Makes the sandbox that the operation acts on; absent: the operation makes one. */
  prepare?: () => Promise<string>
  act: (sandboxId: string) => Promise<{ status: number }>
  /** The sandbox has ended afterwards, whatever the database says. */
  isEnd?: boolean
}

const running = async () => (await t.create({ timeout: 1_000 })).sandboxID
async function paused(hasMemory: boolean): Promise<string> {
  const id = await running()
  await t.act(id, 'pause', { memory: hasMemory })
  return id
}
const checkpointOf = async (id: string) => (await t.act(id, 'checkpoints')).body.checkpointID as string
let checkpointID = ''
async function withCheckpoint(): Promise<string> {
  const id = await running()
  checkpointID = await checkpointOf(id)
  await checkpointOf(id)
  return id
}

const operations: Operation[] = [
  {
    name: 'create',
    writes: ['sandboxes.insert', 'sandboxes.setRunning'],
    act: () => t.call('POST', '/v2/sandboxes', { templateID: 'base' }),
  },
  {
    name: 'pause',
    writes: ['sandboxes.setPausing', 'sandboxes.setPaused'],
    prepare: running,
    act: (id) => t.act(id, 'pause'),
  },
  {
    name: 'resume of a frozen machine',
    writes: ['sandboxes.setResumed'],
    prepare: () => paused(true),
    act: (id) => t.act(id, 'connect', { timeout: 500 }),
  },
  {
    name: 'resume from the disk',
    writes: ['sandboxes.setResumed'],
    prepare: () => paused(false),
    act: (id) => t.act(id, 'connect', { timeout: 500 }),
  },
  {
    name: 'kill',
    writes: ['sandboxes.setKilling', 'sandboxes.setKilled'],
    prepare: running,
    act: (id) => t.call('DELETE', `/sandboxes/${id}`),
    isEnd: true,
  },
  {
    name: 'kill of a paused sandbox',
    writes: ['sandboxes.setKilled'],
    prepare: () => paused(true),
    act: (id) => t.call('DELETE', `/sandboxes/${id}`),
    isEnd: true,
  },
  {
    name: 'timeout',
    writes: ['sandboxes.setEnd'],
    prepare: running,
    act: (id) => t.act(id, 'timeout', { timeout: 50 }),
  },
  {
    name: 'keep policy',
    writes: ['sandboxes.setSettings'],
    prepare: running,
    act: (id) => t.call('PUT', `/sandboxes/${id}/keep`, { last: 1 }),
  },
  {
    name: 'network rules',
    writes: ['sandboxes.setSettings'],
    prepare: running,
    act: (id) => t.call('PUT', `/sandboxes/${id}/network`, { denyOut: ['1.1.1.1'] }),
  },
  {
    name: 'checkpoint',
    writes: ['checkpoints.insert', 'checkpoints.complete', 'sandboxes.setHead'],
    prepare: withCheckpoint,
    act: (id) => t.act(id, 'checkpoints'),
  },
  {
    name: 'rollback',
    writes: ['sandboxes.setResumed'],
    prepare: withCheckpoint,
    act: (id) => t.act(id, 'rollback', { checkpointID }),
  },
  {
    name: 'rollback of a paused sandbox',
    writes: ['sandboxes.setHead'],
    async prepare() {
      const id = await withCheckpoint()
      await t.act(id, 'pause')
      return id
    },
    act: (id) => t.act(id, 'rollback', { checkpointID }),
  },
  {
    name: 'fork',
    writes: ['sandboxes.insert', 'sandboxes.setRunning'],
    prepare: running,
    act: (id) => t.act(id, 'fork'),
  },
  {
    name: 'snapshot',
    writes: ['templates.addBuild'],
    prepare: running,
    act: (id) => t.snapshot(id, 'copy'),
  },
]

const cases = operations.flatMap((operation) =>
  operation.writes.flatMap((write) => FAULTS.map((fault) => ({ ...operation, write, fault }))),
)

/** What rows, callers and the node say of every sandbox that has not ended. */
async function inspect() {
  const { rows, checkpoints, builds } = await t.inStore(async (store) => ({
    rows: await store.selectFrom('sandboxes').selectAll().where('state', '<>', 'killed').execute(),
    checkpoints: await store.selectFrom('checkpoints').select(['id', 'state']).execute(),
    builds: await store.selectFrom('builds').select(['id', 'checkpoint_id']).execute(),
  }))
  const problems: string[] = []
  const machineIds = new Set(rows.map(({ machine_id }) => machine_id))
  for (const row of rows) {
    const { body } = await t.call('GET', `/sandboxes/${row.id}`)
    if (body.state !== row.state) problems.push(`the row says ${row.state}, callers are told ${body.state}`)
    const endAtMs = Date.parse(body.endAt)
    if (row.state === 'running' && endAtMs !== row.end_at) problems.push('the row has another deadline')
    const { machines, frozen, saved } = t.node
    const runs = machines.has(row.machine_id) && !frozen.has(row.machine_id)
    if (row.state === 'running' && !runs) problems.push('the machine of a running sandbox does not run')
    const policy = networkPolicyOf(JSON.parse(row.settings))
    if (!isDeepStrictEqual(t.node.policies.get(row.machine_id), policy))
      problems.push('the row has other network rules than the machine')
    if (row.state === 'paused' && !saved.has(String(row.checkpoint_id)))
      problems.push('the checkpoint of a paused sandbox is gone')
    const nodes = (await t.treeOf(row.id)) as Array<{ checkpointID: string; isHead: boolean }>
    const head = nodes.find(({ isHead }) => isHead)?.checkpointID
    if ((row.checkpoint_id ?? undefined) !== head)
      problems.push(`the head is ${row.checkpoint_id}, not ${head}`)
  }
  const { machines: present, unlisted } = t.node
  for (const id of present.keys())
    if (!machineIds.has(id) && !unlisted.has(id)) problems.push(`no row has machine ${id}`)
  for (const { id, state } of checkpoints)
    if (state !== 'complete' || !t.node.saved.has(id)) problems.push(`a checkpoint is ${state}`)
  const listed = new Set(checkpoints.map(({ id }) => id))
  for (const id of t.node.saved)
    if (!listed.has(id) && !unlisted.has(id)) problems.push(`no row has checkpoint ${id}`)
  const known = (await t.call('GET', '/snapshots')).body.length
  if (known !== builds.length) problems.push(`${builds.length} snapshots have rows, ${known} are listed`)
  for (const { checkpoint_id } of builds)
    if (!t.node.saved.has(checkpoint_id)) problems.push('the checkpoint of a snapshot is gone')
  for (const { id } of builds) if (!t.node.teamBuilds.has(id)) problems.push('a snapshot cannot be started')
  return problems
}

const restart = async () => {
  await t.server.close(0)
  faults.isAway = false
  await t.open()
}

/** The sandbox can be used as before. */
async function expectUsable(id: string): Promise<void> {
  if ((await t.call('GET', `/sandboxes/${id}`)).body.state === 'running')
    expect((await t.act(id, 'pause')).status).toBe(204)
  expect((await t.act(id, 'connect', { timeout: 500 })).status).toBe(201)
  await expect.poll(inspect).toEqual([])
}

describe('a write that fails leaves rows, machines and answers in agreement, and a restart finds them so:', () => {
  test.each(cases)(
    '$name, $write $fault',
    { timeout: 20_000 },
    async ({ prepare, act, isEnd, write, fault }) => {
      const id = (await prepare?.()) ?? ''
      faults.failNext(write, fault)
      const { status } = await act(id)
      await expect.poll(() => faults.hasFailed).toBe(true)
      await expect.poll(inspect, { timeout: 10_000 }).toEqual([])
      const snapshots = (await t.call('GET', '/snapshots')).body.length
      await expect.poll(() => t.node.teamBuilds.size).toBe(snapshots)
      await restart()
      expect(await inspect()).toEqual([])
      expect([...t.node.unlisted]).toEqual([])
      if (isEnd) expect([status, await t.statusOf(id)]).toEqual([204, 404])
      else if (id) await expectUsable(id)
      else expect(status).toBeGreaterThanOrEqual(500)
    },
  )
})

describe('a server that ends while the database is away loses no sandbox:', () => {
  const kept = cases.filter(
    ({ prepare, isEnd, fault }) => prepare && !isEnd && fault === 'done without an answer',
  )
  test.each(kept)('$name, $write $fault', { timeout: 20_000 }, async ({ prepare, act, write, fault }) => {
    const id = await prepare!()
    faults.failNext(write, fault, { isLast: true })
    await act(id)
    await expect.poll(() => faults.hasFailed).toBe(true)
    await restart()
    await expectUsable(id)
  })
})
