import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ConnectionOpts, Sandbox, Template } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, startServer, type TestServer } from '../server.ts'
import { leaks, takeInventory } from './inventory.ts'

let server: TestServer
let options: ConnectionOpts

beforeAll(async () => {
  server = await startServer({
    name: 'build-killed',
    port: 13_215,
    networkRange: '10.215.0.0/16',
    flags: ['--pool-min', '1', '--pool-max', '2'],
  })
  options = connectionTo(server.info())
}, 300_000)
afterAll(() => server?.purge(), 120_000)

test('a build whose server is killed fails with that reason, and the next build continues from the finished steps', async () => {
  const of = Template()
    .fromBaseImage()
    .runCmd('date +%N > ~/first')
    .runCmd('echo second > ~/second')
    .runCmd('sleep 5; echo third > ~/third')
  const info = await Template.buildInBackground(of, 'killed', options)
  const logs = async () =>
    (await Template.getBuildStatus(info, options)).logEntries.map(({ message }) => message)
  await expect.poll(logs, { timeout: 30_000 }).toContainEqual(expect.stringContaining('[builder 3/3]'))
  await server.kill()
  await server.start()

  const { status, reason } = await Template.getBuildStatus(info, options)
  expect(status).toBe('error')
  expect(reason?.message).toContain('restarted in the middle of the build')

  await expect
    .poll(async () => leaks(await takeInventory(server.info().home), 0), { timeout: 30_000, interval: 500 })
    .toEqual([])

  const again: string[] = []
  await Template.build(of, 'killed', { ...options, onBuildLogs: ({ message }) => void again.push(message) })
  expect(again.filter((message) => message.startsWith('CACHED [builder'))).toHaveLength(2)
  const sandbox = await Sandbox.create('killed', options)
  expect((await sandbox.commands.run('cat ~/second ~/third')).stdout).toBe('second\nthird\n')
  await sandbox.kill()
}, 180_000)

test('templates start sandboxes again after a restart', async () => {
  await server.stop()
  await server.start()
  const sandbox = await Sandbox.create('killed', options)
  expect((await sandbox.commands.run('cat ~/second')).stdout).toBe('second\n')
  await sandbox.kill()
}, 120_000)

test('finished steps whose packed files are damaged are run again', async () => {
  const of = (last: string) =>
    Template().fromBaseImage().runCmd('date +%N > ~/first').runCmd(`echo ${last} > ~/last`)
  await Template.build(of('one'), 'damaged', options)
  const layers = join(server.info().home, 'layers')
  const chunks = join(layers, 'packed', 'chunks')
  const made = (await readdir(layers)).filter((name) => name !== 'packed')
  const packed = async () => (await readdir(join(layers, 'packed', 'checkpoints'))).length
  await expect.poll(packed, { timeout: 60_000, interval: 500 }).toBe(made.length)
  for (const key of made) await rm(join(layers, key, 'files'), { recursive: true, force: true })
  for (const folder of await readdir(chunks))
    for (const chunk of await readdir(join(chunks, folder)))
      await writeFile(join(chunks, folder, chunk), 'rotten')

  const again: string[] = []
  const onBuildLogs = ({ message }: { message: string }) => void again.push(message)
  await Template.build(of('two'), 'damaged', { ...options, onBuildLogs })
  expect(again).toContainEqual(expect.stringContaining('must be built again'))
  const sandbox = await Sandbox.create('damaged', options)
  expect((await sandbox.commands.run('cat ~/last; test -s ~/first')).stdout).toBe('two\n')
  await sandbox.kill()
}, 180_000)
