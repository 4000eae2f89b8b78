import { CLOSED, OPEN } from '@sandlot/protocol/node'
import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const policies = () => [...t.node.policies.values()]

test.each([false, true])(
  'every machine for a sandbox with internet %s is requested with the network policy of the sandbox',
  async (allowed) => {
    const { sandboxID: id } = await t.create({ allow_internet_access: allowed })
    const { body: snapshot } = await t.act(id, 'snapshots', {})
    const { checkpointID: checkpointId } = (await t.act(id, 'checkpoints')).body
    await t.act(id, 'fork', { count: 2 })
    await t.act(id, 'rollback', { checkpointID: checkpointId })
    await t.act(id, 'pause')
    t.node.frozen.clear()
    await t.act(id, 'connect', { timeout: 100 })
    await t.create({ templateID: snapshot.snapshotID, allow_internet_access: allowed })
    // create, two forks, rollback, cold resume, start from a snapshot
    expect(policies()).toEqual(Array.from({ length: 6 }, () => (allowed ? OPEN : CLOSED)))
  },
)

test('after a start the node is told the network policy of running and paused sandboxes', async () => {
  const open = await t.create()
  const closed = await t.create({ allow_internet_access: false })
  const paused = await t.create({ allow_internet_access: false })
  await t.act(paused.sandboxID, 'pause')
  await t.crash()
  const { inUse, frozen } = t.node.known!
  expect(inUse.map(({ network }) => network)).toEqual([OPEN, CLOSED])
  expect(frozen).toEqual([
    {
      machineId: expect.any(String),
      checkpointId: expect.any(String),
      sandboxId: paused.sandboxID,
      teamId: expect.any(String),
      network: CLOSED,
    },
  ])
  expect([open, closed].every(({ sandboxID }) => t.server.directory.find(sandboxID))).toBe(true)
})
