import { statfsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ConnectionOpts, Sandbox, Template } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, startServer, type TestServer } from '../server.ts'
import { leaks, takeInventory } from './inventory.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'
import { Proving } from './subject.ts'

const SIZE_MIB = 512
const STALLED = { timeout: 60_000, interval: 200 }
let disk: SmallDisk
let server: TestServer
let proving: Proving
let options: ConnectionOpts & { timeoutMs: number }

beforeAll(async () => {
  disk = mountSmallDisk('guarded-disk', SIZE_MIB)
  server = await startServer({
    name: 'guarded-disk/home',
    port: 13_219,
    networkRange: '10.219.0.0/16',
    flags: ['--pool-min', '0', '--pool-max', '0'],
  })
  proving = new Proving(server)
  options = { ...connectionTo(server.info()), timeoutMs: 900_000, requestTimeoutMs: 90_000 }
}, 300_000)
afterAll(async () => {
  await server?.purge().catch(() => {})
  disk?.unmount()
}, 120_000)

/** Entries of a sandbox's event log about stalling, latest first: the reason, or null when the sandbox went on. */
async function stallsOf({ sandboxId }: Sandbox): Promise<unknown[]> {
  const events = await proving.events(sandboxId)
  return events.map(({ event_data }) => event_data?.stalled).filter((stalled) => stalled !== undefined)
}

test('a sandbox that fills the disk is frozen, also through a crash of the server, while others work, and continues once there is space', async () => {
  const [writer, other, ballast] = await Promise.all([1, 2, 3].map(() => Sandbox.create(options)))
  await ballast!.commands.run('head -c 200M /dev/urandom > ballast', { timeoutMs: 60_000 })
  await writer!.files.write('kept', 'whole')
  const writing = await writer!.commands.run(
    'for i in $(seq 150); do head -c 4M /dev/urandom > part; sha256sum < part >> sums; cat part >> all; sleep 0.05; done',
    { background: true, timeoutMs: 0 },
  )
  writing.wait().catch(() => {})
  await expect.poll(() => stallsOf(writer!), STALLED).toEqual([expect.stringContaining('the floor is 26 MB')])
  expect((await other!.commands.run('echo still here')).stdout).toBe('still here\n')
  const refused = await proving.call('POST', '/v2/sandboxes', { templateID: 'base' }, 60_000)
  expect(refused.status).toBe(507)
  expect(await refused.json()).toMatchObject({ message: expect.stringContaining('diskFloorMB') })

  await server.kill()
  await server.start()
  expect((await other!.commands.run('echo after the crash')).stdout).toBe('after the crash\n')
  await ballast!.kill()
  await expect.poll(async () => (await stallsOf(writer!))[0], STALLED).toBeNull()
  expect(await writer!.files.read('kept')).toBe('whole')
  await writer!.commands.kill(writing.pid)
  // every complete part matches its checksum
  const { stdout } = await writer!.commands.run(
    'n=$(($(stat -c %s all) / 4194304)); for i in $(seq $n); do dd if=all bs=4M skip=$((i - 1)) count=1 status=none | sha256sum; done > found; diff found <(head -n $n sums) && echo $n',
    { timeoutMs: 90_000 },
  )
  expect(Number(stdout)).toBeGreaterThan(10)
  await Promise.all([writer!.kill(), other!.kill()])
  await expect
    .poll(async () => leaks(await takeInventory(server.info().home), 0), { timeout: 30_000, interval: 500 })
    .toEqual([])
}, 400_000)

test('a build that fills the disk is ended before sandboxes have to be frozen for lack of room', async () => {
  const writer = await Sandbox.create(options)
  const filling = Template()
    .fromTemplate('base')
    .runCmd('for i in $(seq 300); do head -c 4M /dev/urandom >> /var/tmp/all; sleep 0.1; done')
  const { templateId } = await Template.buildInBackground(filling, 'filling', { ...options, memoryMB: 1024 })
  let leastFreeMB = Number.POSITIVE_INFINITY
  const look = () => {
    const { bavail, bsize } = statfsSync(server.info().home)
    leastFreeMB = Math.min(leastFreeMB, (bavail * bsize) / 2 ** 20)
    return leastFreeMB
  }
  await expect.poll(look, { timeout: 120_000, interval: 50 }).toBeLessThan(25)
  // the build is ended now, or goes on to fill the disk
  for (const end = Date.now() + 5_000; Date.now() < end; await sleep(50)) look()
  expect(leastFreeMB).toBeGreaterThan(5)
  await proving.call('DELETE', `/templates/${templateId}`, undefined, 60_000)
  await expect.poll(async () => (await Sandbox.create(options)).kill(), STALLED).toBe(true)
  expect((await writer.commands.run('echo well')).stdout).toBe('well\n')
  await writer.kill()
}, 300_000)
