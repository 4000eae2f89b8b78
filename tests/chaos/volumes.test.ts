import { execFileSync } from 'node:child_process'
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { mountsIn } from '@sandlot/linux'
import { namesFor } from '@sandlot/node/instance-names'
import { type ConnectionOpts, Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectionTo, startServer, type TestServer } from '../server.ts'
import { type TestVolume, VolumeClient } from '../volume-client.ts'
import { randomFrom } from './random.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'

/** The full run is `CHAOS_ROUNDS=50`. */
const ROUNDS = Number(process.env.CHAOS_ROUNDS ?? 2)
const SEED = Number(process.env.CHAOS_SEED ?? 20261130)
const DISK_MIB = 768
const MiB = 2 ** 20
const UPLOAD_BYTES = 2 * MiB
const BLOCK_BYTES = 65_536
const TREE_FILES = 10
const SETTLE = { timeout: 60_000, interval: 250 }
/** A guest that writes and renames without end: what has the name `file-<n>` is complete. */
const WRITER = `cd /mnt/data; for i in $(seq 1000000); do head -c ${BLOCK_BYTES} /dev/zero > t; mv t file-$((i % 20)); done`

let disk: SmallDisk
let server: TestServer
let options: ConnectionOpts
let client: VolumeClient
beforeAll(async () => {
  disk = mountSmallDisk('volumes-disk', DISK_MIB)
  server = await startServer({
    name: 'volumes-chaos',
    port: 13_221,
    networkRange: '10.221.0.0/16',
    flags: ['--pool-min', '1', '--pool-max', '1', '--volumes-dir', join(disk.path, 'volumes')],
  })
  options = { ...connectionTo(server.info()), requestTimeoutMs: 60_000 }
  client = new VolumeClient(server.info())
}, 300_000)
afterAll(async () => {
  await server?.purge().catch(() => {})
  disk?.unmount()
}, 120_000)

const attachedDir = () => join(namesFor(server.info().home).mountsDir, 'attached')
const namesOf = (...path: string[]): string[] => readdirSync(join(disk.path, 'volumes', ...path)).sort()
const statusOf = (work: Promise<unknown>): Promise<number> =>
  work.then(
    () => 200,
    (error: { status?: number }) => error.status ?? 0,
  )

/** What the clients of one round know: answers that were given must hold. */
class Round {
  readonly uploaded = new Set<string>()
  readonly removed = new Set<string>()
  #isOver = false
  #count = 0
  readonly #volume: TestVolume
  readonly #name: string

  constructor(volume: TestVolume, name: string) {
    this.#volume = volume
    this.#name = name
  }

  end(): void {
    this.#isOver = true
  }

  /** Uploads, removes trees and copies the volume until the end; requests that the kill cuts off fail. */
  async run(): Promise<void> {
    const again = async (work: (name: string) => Promise<unknown>) => {
      while (!this.#isOver) await work(`${this.#name}-${this.#count++}`).catch(() => delay(20))
    }
    await Promise.all([
      again((name) => this.#upload(`/uploads/${name}`)),
      again((name) => this.#upload(`/uploads/${name}`)),
      again((name) => this.#makeAndRemove(`/trees/${name}`)),
      again((name) => this.#copy(name)),
    ])
  }

  async #upload(path: string): Promise<void> {
    await client.write(this.#volume, path, Buffer.alloc(UPLOAD_BYTES, path))
    this.uploaded.add(path)
    // so that the disk is not full after many rounds
    if (this.uploaded.size > 20) {
      const [oldest] = this.uploaded
      this.uploaded.delete(oldest!)
      await client.remove(this.#volume, oldest!)
    }
  }

  async #makeAndRemove(path: string): Promise<void> {
    for (let i = 0; i < TREE_FILES; i++) await client.write(this.#volume, `${path}/sub/${i}`, 'x')
    await client.remove(this.#volume, path)
    this.removed.add(path)
  }

  async #copy(name: string): Promise<void> {
    const copy = await client.create({ name, from: this.#volume.volumeID })
    expect(await client.read(copy, '/marker')).toBe('marker')
    await client.delete(copy)
  }
}

test(`${ROUNDS} times kill -9 of the server leaves no half-written file, no volume without a row and no temporary file`, async () => {
  const random = randomFrom(SEED)
  const volume = await client.create({ name: 'data', sizeMB: 256 })
  await client.write(volume, '/marker', 'marker')
  const sandbox = await Sandbox.create({
    ...options,
    timeoutMs: 3_000_000,
    volumeMounts: { '/mnt/data': volume.name },
  })
  await sandbox.commands.run(WRITER, { background: true, timeoutMs: 0, user: 'root' })

  for (let count = 0; count < ROUNDS; count++) {
    const round = new Round(volume, `round-${count}`)
    const running = round.run()
    await delay(300 + random() * 2_000)
    round.end()
    await server.kill()
    await running
    await server.start()
    await checkFiles(volume, round)
    for (const one of await client.list()) {
      const again = await client.get(one.volumeID)
      expect(await client.read(again, '/marker')).toBe('marker')
      if (one.volumeID !== volume.volumeID) await client.delete(again)
    }
    await expect.poll(() => [namesOf('creating'), namesOf('removing')], SETTLE).toEqual([[], []])
    expect(namesOf('live')).toEqual([volume.volumeID])
    const staging = join(attachedDir(), volume.volumeID, 'all/staging')
    await expect.poll(() => readdirSync(staging), SETTLE).toEqual([])
    await client.remove(volume, '/uploads')
  }
  const writesGoOn = await sandbox.commands.run(
    'a=$(stat -c %Z /mnt/data); until [ $(stat -c %Z /mnt/data) != $a ]; do sleep 0.1; done; echo on',
  )
  expect(writesGoOn.stdout).toBe('on\n')

  await sandbox.kill()
  await checkFiles(volume, new Round(volume, 'none'))
  await expect.poll(() => statusOf(client.delete(volume)), SETTLE).toBe(200)
}, 900_000)

/** Whatever was going on: an entry with its final name is complete, and answers were true. */
async function checkFiles(volume: TestVolume, { uploaded, removed }: Round): Promise<void> {
  const entries = await client.entries(volume, '/', 2)
  const files = entries.filter(({ type }) => type === 'file')
  const under = (prefix: string) => files.filter(({ path }) => path.startsWith(prefix))
  expect(under('/uploads/').filter(({ size }) => size !== UPLOAD_BYTES)).toEqual([])
  expect(under('/file-').filter(({ size }) => size !== BLOCK_BYTES)).toEqual([])
  const paths = new Set(entries.map(({ path }) => path))
  for (const path of uploaded) expect(paths).toContain(path)
  for (const path of removed) expect(paths).not.toContain(path)
  const [some] = uploaded
  if (some) expect(await client.read(volume, some)).toBe(Buffer.alloc(UPLOAD_BYTES, some).toString())
}

test('a full volume is ENOSPC inside and 507 outside, a full disk 507; both work again afterwards', async () => {
  const volume = await client.create({ name: 'small', sizeMB: 32 })
  const sandbox = await Sandbox.create({ ...options, volumeMounts: { '/mnt/data': volume.name } })
  const { stdout } = await sandbox.commands.run(
    'head -c 64M /dev/zero > /mnt/data/big || true; df /mnt/data',
    {
      user: 'root',
    },
  )
  expect(stdout).toContain('100%')
  expect(await statusOf(client.write(volume, '/more', Buffer.alloc(4 * MiB)))).toBe(507)
  expect((await client.entries(volume)).map(({ path }) => path)).toEqual(['/big'])
  await client.remove(volume, '/big')
  // gVisor keeps descriptors of files that the sandbox has used, and with them the space
  await sandbox.kill()
  await expect.poll(() => statusOf(client.write(volume, '/kept', 'kept')), SETTLE).toBe(200)

  const step = Buffer.alloc(8 * MiB)
  expect(() => {
    for (let i = 0; i < DISK_MIB / 8; i++) writeFileSync(disk.ballast, step, { flag: 'a' })
  }).toThrow(/ENOSPC/)
  expect(await statusOf(client.write(volume, '/more', step))).toBe(507)
  expect(await statusOf(client.create({ name: 'another' }))).toBe(507)
  expect(await client.read(volume, '/kept')).toBe('kept')
  rmSync(disk.ballast)
  await client.write(volume, '/more', step)
  await expect.poll(() => statusOf(client.delete(volume)), SETTLE).toBe(200)
}, 300_000)

test('after the end of the server nothing is mounted, and no loop device is left', async () => {
  expect(await server.stop()).toBe(0)
  expect(mountsIn(attachedDir()).filter(({ target }) => target !== attachedDir())).toEqual([])
  await expect
    .poll(
      () =>
        execFileSync('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'], { encoding: 'utf8' }),
      SETTLE,
    )
    .not.toContain(disk.path)
}, 120_000)
