import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildCli, detached, e2b } from './command.ts'

let id: string
let remove: () => Promise<void>

beforeAll(async () => {
  await buildCli()
  ;({ id, remove } = await detached(['--timeout', '600']))
})
afterAll(async () => {
  await remove()
})

const stateOf = async (): Promise<string> =>
  JSON.parse((await e2b(['sandbox', 'info', id, '-f', 'json'])).stdout).state

it('e2b sandbox pause pauses a sandbox, and resume brings it back with its files', async () => {
  expect((await e2b(['sandbox', 'exec', id, 'echo kept > /home/user/kept'])).code).toBe(0)
  expect((await e2b(['sandbox', 'pause', id])).code).toBe(0)
  expect(await stateOf()).toBe('paused')
  const listed = await e2b(['sandbox', 'list', '-s', 'paused', '-f', 'json'])
  expect(JSON.parse(listed.stdout).map((sandbox: { sandboxId: string }) => sandbox.sandboxId)).toContain(id)
  expect((await e2b(['sandbox', 'resume', id])).code).toBe(0)
  expect(await stateOf()).toBe('running')
  expect((await e2b(['sandbox', 'exec', id, 'cat /home/user/kept'])).stdout).toBe('kept\n')
})

it('e2b sandbox snapshot creates, lists and deletes snapshots that sandboxes start from', async () => {
  const name = `cli-${process.pid}`
  const made = await e2b(['sandbox', 'snapshot', 'create', id, '-n', name])
  expect(made.code).toBe(0)
  const snapshots = async (): Promise<{ snapshotId: string }[]> =>
    JSON.parse((await e2b(['sandbox', 'snapshot', 'list', '-f', 'json'])).stdout)
  const found = (await snapshots()).find(({ snapshotId }) => snapshotId.includes(name))
  expect(found?.snapshotId).toBe(`default/${name}:default`)
  const copy = await e2b(['sandbox', 'create', found!.snapshotId, '-d', '--timeout', '60'])
  const copyId = /\bi[a-z0-9]{20}\b/.exec(copy.stdout)?.[0]
  expect((await e2b(['sandbox', 'exec', copyId!, 'cat /home/user/kept'])).stdout).toBe('kept\n')
  expect((await e2b(['sandbox', 'kill', copyId!])).code).toBe(0)
  expect((await e2b(['sandbox', 'snapshot', 'delete', found!.snapshotId])).code).toBe(0)
  expect((await snapshots()).map(({ snapshotId }) => snapshotId)).not.toContain(found!.snapshotId)
})
