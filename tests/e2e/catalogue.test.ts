import { withCatalogKey } from '@sandlot/server/api-keys/key-store'
import { Sandbox, Template } from 'e2b-official'
import { afterAll, expect, inject, test } from 'vitest'
import { connectionTo, sandlot } from '../server.ts'

const server = inject('server')
const options = connectionTo(server)
/** A name of the catalogue, used for a small template. */
const NAME = 'amp'
const home = ['--home', server.home]
const list = async (): Promise<Array<Record<string, unknown>>> =>
  JSON.parse(await sandlot(['templates', 'list', '--json', ...home]))
const rowOf = async (name: string) => (await list()).find((row) => row.name === name)
const snapshots: string[] = []

afterAll(async () => {
  for (const id of snapshots) await Sandbox.deleteSnapshot(id, options).catch(() => {})
})

/** More than a checkpoint keeps, so that the template gets an image of its own. */
const build = () =>
  withCatalogKey(server.store, (apiKey) =>
    Template.build(
      Template().fromBaseImage().runCmd('head -c 200M /dev/urandom > ~/much && echo here > ~/here'),
      NAME,
      { ...options, apiKey },
    ),
  )

test('a template of the catalogue is removed with its files, and sandboxes that were created from it keep running', async () => {
  await build()
  const before = await rowOf(NAME)
  expect(Number(before?.sizeBytes)).toBeGreaterThan(200 * 2 ** 20)

  const sandbox = await Sandbox.create(NAME, options)
  const { snapshotId } = await sandbox.createSnapshot()
  snapshots.push(snapshotId)
  await expect(sandlot(['templates', 'remove', NAME, ...home])).rejects.toThrow(
    `${sandbox.sandboxId} (running)`,
  )
  await sandbox.pause()
  await expect(sandlot(['templates', 'remove', NAME, ...home])).rejects.toThrow(
    `${sandbox.sandboxId} (paused)`,
  )
  const again = await Sandbox.connect(sandbox.sandboxId, options)
  expect((await again.commands.run('cat ~/here')).stdout).toBe('here\n')
  await again.kill()

  // a snapshot refers to the image
  expect(await sandlot(['templates', 'remove', NAME, ...home])).toMatch(/its image stays: [1-9]/)
  const copy = await Sandbox.create(snapshotId, options)
  expect((await copy.commands.run('cat ~/here; stat -c %s ~/much')).stdout).toBe('here\n209715200\n')
  await copy.kill()
  await expect(Sandbox.create(NAME, options)).rejects.toThrow(`\`sandlot templates build ${NAME}\``)
  expect(await rowOf(NAME)).toMatchObject({
    status: 'removed',
    reason: expect.stringContaining('sandlot templates build'),
  })
}, 240_000)

test('disk space of images and layers that nothing needs is freed', async () => {
  for (const id of snapshots.splice(0)) await Sandbox.deleteSnapshot(id, options)
  await build()
  const said = await sandlot(['templates', 'remove', NAME, ...home])
  expect(Number(/, (\d+) MB of images and layers freed/.exec(said)?.[1])).toBeGreaterThan(200)
}, 240_000)

test('`status` says what is built in the background', async () => {
  const status = JSON.parse(await sandlot(['status', '--json', ...home]))
  expect(status.catalog.templates).toContainEqual(expect.objectContaining({ name: NAME, state: 'removed' }))
  expect(await sandlot(['status', ...home])).toContain(`\`sandlot templates build ${NAME}\` builds it again`)
})

test('names that the catalogue does not have are refused, and nothing changes', async () => {
  const before = await list()
  for (const command of ['build', 'remove'])
    await expect(sandlot(['templates', command, 'ampp', ...home])).rejects.toThrow("did you mean 'amp'?")
  expect(await list()).toEqual(before)
})
