import { appendFileSync, rmSync } from 'node:fs'
import { type ConnectionOpts, Sandbox, Template, waitForFile } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, startServer, type TestServer } from '../server.ts'
import { leaks, takeInventory } from './inventory.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'

const SIZE_MIB = 512
let disk: SmallDisk
let server: TestServer
let options: ConnectionOpts

beforeAll(async () => {
  disk = mountSmallDisk('build-disk', SIZE_MIB)
  server = await startServer({
    name: 'build-disk/home',
    port: 13_217,
    networkRange: '10.217.0.0/16',
    flags: ['--pool-min', '0', '--pool-max', '1', '--build-timeout-minutes', '1'],
  })
  options = connectionTo(server.info())
}, 300_000)
afterAll(async () => {
  await server?.purge().catch(() => {})
  disk?.unmount()
}, 120_000)

function fillDisk(): void {
  expect(() => {
    for (const bytes of [2 ** 22, 2 ** 16])
      for (let i = 0; i * bytes <= SIZE_MIB * 2 ** 20; i++)
        try {
          appendFileSync(disk.ballast, Buffer.alloc(bytes))
        } catch (error) {
          if (bytes === 2 ** 16) throw error
          break
        }
  }).toThrow(/ENOSPC/)
}

const logsOf = async (info: Parameters<typeof Template.getBuildStatus>[0]) =>
  (await Template.getBuildStatus(info, options)).logEntries.map(({ message }) => message)
const settled = async (info: Parameters<typeof Template.getBuildStatus>[0]) => {
  const status = () => Template.getBuildStatus(info, options).then((found) => found.status)
  await expect.poll(status, { timeout: 120_000, interval: 500 }).toMatch(/error|ready/)
  return Template.getBuildStatus(info, options)
}

test('a build whose disk fills up fails with that reason and leaves nothing behind', async () => {
  const of = Template()
    .fromBaseImage()
    .runCmd('echo first > ~/first')
    .runCmd('for i in $(seq 40); do head -c 1M /dev/urandom >> ~/much; sleep 0.6; done')
  const info = await Template.buildInBackground(of, 'filling', options)
  await expect
    .poll(() => logsOf(info), { timeout: 60_000 })
    .toContainEqual(expect.stringContaining('[builder 2/2]'))
  fillDisk()
  const { status, reason } = await settled(info)
  expect(status).toBe('error')
  // the server ends the build that fills the disk, or refuses to save it, or the build's kernel dies
  expect(reason?.message).toMatch(/the disk of this machine has|may take .* left|space|kernel|machine ended/i)
  expect(reason?.step).toBe('2')
  rmSync(disk.ballast)
  await expect
    .poll(async () => leaks(await takeInventory(server.info().home), 0), { timeout: 60_000, interval: 500 })
    .toEqual([])

  const again: string[] = []
  await Template.build(of, 'filling', { ...options, onBuildLogs: ({ message }) => void again.push(message) })
  expect(again.filter((message) => message.startsWith('CACHED [builder'))).toHaveLength(1)
  const sandbox = await Sandbox.create('filling', options)
  expect((await sandbox.commands.run('cat ~/first; stat -c %s ~/much')).stdout).toBe('first\n41943040\n')
  await sandbox.kill()
}, 300_000)

test('a template that never becomes ready is ended at the time limit of builds, and others continue meanwhile', async () => {
  const never = Template().fromBaseImage().setStartCmd('sleep 1000', waitForFile('/never'))
  const info = await Template.buildInBackground(never, 'never', options)
  await Template.build(Template().fromBaseImage().runCmd('echo other'), 'other', options)
  const { status, reason } = await settled(info)
  expect(status).toBe('error')
  expect(reason?.message).toBe('the build took longer than 1 minutes and was ended')
  await expect
    .poll(async () => leaks(await takeInventory(server.info().home), 0), { timeout: 60_000, interval: 500 })
    .toEqual([])
}, 240_000)
