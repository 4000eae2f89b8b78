import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startServer, type TestServer } from '../server.ts'
import { randomFrom } from './random.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'
import { Proving, type Subject } from './subject.ts'

const IS_FULL = process.env.CHAOS_FULL === '1'
const DAMAGES = IS_FULL ? 20 : 2
const FULL_DISKS = IS_FULL ? 20 : 2
const SEED = Number(process.env.CHAOS_SEED ?? 20261124)

const SIZE_MIB = 1024
let disk: SmallDisk
let server: TestServer
let proving: Proving

beforeAll(async () => {
  disk = mountSmallDisk('persistence-disk', SIZE_MIB)
  server = await startServer({
    name: 'persistence-disk/home',
    port: 13_216,
    networkRange: '10.216.0.0/16',
    flags: ['--pool-min', '0', '--pool-max', '0', '--hot-pause-seconds', '1'],
  })
  proving = new Proving(server)
}, 300_000)
afterAll(async () => {
  await server?.purge().catch(() => {})
  disk?.unmount()
}, 120_000)
afterEach(async () => {
  rmSync(disk.ballast, { force: true })
  await proving.killAll()
}, 120_000)

const post = ({ sandboxId }: Subject, what: string, body: unknown = {}) =>
  proving.call('POST', `/sandboxes/${sandboxId}/${what}`, body)
const connect = (subject: Subject) => post(subject, 'connect', { timeout: 3_000 })

interface Refused {
  code: number
  message: string
  error_code: string
}

async function pauseUntilCold(subject: Subject): Promise<void> {
  expect((await post(subject, 'pause')).status).toBe(204)
  await expect.poll(async () => (await proving.machines()).length, { timeout: 30_000, interval: 200 }).toBe(0)
}

/** A log line may contain the words twice: in its message and in its stack. */
const mendings = () =>
  server
    .log()
    .split('\n')
    .filter((line) => line.includes('was unpacked again')).length

/** The largest file below a folder: the pages of the memory. */
function largestFile(folder: string): string {
  const files = readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
  return files.sort((a, b) => statSync(b).size - statSync(a).size)[0]!
}

function flipBit(path: string, at: number): void {
  const file = openSync(path, 'r+')
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, at)
  byte[0]! ^= 1 << (at % 8)
  writeSync(file, byte, 0, 1, at)
  closeSync(file)
}

const damages: Record<string, Damage> = {
  'with one bit flipped': (path, random) => flipBit(path, Math.floor(random() * statSync(path).size)),
  'that is cut off': (path, random) => truncateSync(path, Math.floor(random() * statSync(path).size)),
}

interface Copies {
  /** Files that the memory of a checkpoint is read from. */
  unpackedDir: string
  /** Chunks that no other checkpoint needs. */
  chunks: string[]
}

/** The newest checkpoint, once both of its copies are complete. */
async function copiesOf({ sandboxId }: Subject): Promise<Copies> {
  const { home } = server.info()
  const { checkpoints } = await proving.read<{ checkpoints: Array<{ checkpointID: string }> }>(
    `/sandboxes/${sandboxId}/tree`,
  )
  const id = checkpoints.at(-1)!.checkpointID
  const manifests = join(home, 'packed', 'checkpoints')
  await expect.poll(() => existsSync(join(manifests, `${id}.json`)), { timeout: 60_000 }).toBe(true)
  const chunksIn = (file: string): string[] =>
    [...readFileSync(join(manifests, file), 'utf8').matchAll(/"chunk":"([0-9a-f]{64})"/g)].map(
      ([, chunk]) => chunk!,
    )
  const others = new Set(
    readdirSync(manifests)
      .filter((file) => file !== `${id}.json`)
      .flatMap(chunksIn),
  )
  return {
    unpackedDir: join(home, 'checkpoints', id),
    chunks: [...new Set(chunksIn(`${id}.json`))]
      .filter((chunk) => !others.has(chunk))
      .map((chunk) => join(home, 'packed', 'chunks', chunk.slice(0, 2), chunk)),
  }
}

type Damage = (path: string, random: () => number) => void

const damageUnpacked = ({ unpackedDir }: Copies, damage: Damage, random: () => number) =>
  damage(largestFile(join(unpackedDir, 'memory')), random)
const damagePacked = ({ chunks }: Copies, damage: Damage, random: () => number) =>
  damage(chunks[Math.floor(random() * chunks.length)]!, random)

/** Places where damage leaves no intact copy. */
const losses: Record<string, (copies: Copies, damage: Damage, random: () => number) => void> = {
  'in both copies': (copies, damage, random) => {
    damageUnpacked(copies, damage, random)
    damagePacked(copies, damage, random)
  },
  'in its chunks, which are all there is of it': (copies, damage, random) => {
    rmSync(copies.unpackedDir, { recursive: true })
    damagePacked(copies, damage, random)
  },
}

for (const [how, damage] of Object.entries(damages)) {
  test(
    `a checkpoint ${how} in its unpacked copy is restored from the packed copy (${DAMAGES} times)`,
    async () => {
      const random = randomFrom(SEED)
      for (let i = 0; i < DAMAGES; i++) {
        const subject = await proving.begin(i, 8)
        const savedCount = subject.account.count
        await pauseUntilCold(subject)
        damageUnpacked(await copiesOf(subject), damage, random)
        const reports = mendings()
        expect((await proving.revive(subject))?.count).toBe(savedCount + 1)
        expect(mendings()).toBe(reports + 1)
        await proving.expectNoLeaks()
        await proving.killAll()
      }
    },
    120_000 + DAMAGES * 60_000,
  )

  for (const [where, lose] of Object.entries(losses))
    test(
      `a checkpoint ${how} ${where} is detected before anyone gets it, and the earlier checkpoint brings the sandbox back (${DAMAGES} times)`,
      async () => {
        const random = randomFrom(SEED)
        for (let i = 0; i < DAMAGES; i++) {
          const subject = await proving.begin(i, 8)
          const saved = (await (await post(subject, 'checkpoints')).json()) as { checkpointID: string }
          const savedCount = subject.account.count
          await pauseUntilCold(subject)
          lose(await copiesOf(subject), damage, random)

          const refused = await connect(subject)
          expect(refused.status).toBe(500)
          const body = (await refused.json()) as Refused
          expect(body.error_code).toBe('checkpoint_damaged')
          expect(body.message).toContain(saved.checkpointID)
          expect((await proving.read<{ state: string }>(`/sandboxes/${subject.sandboxId}`)).state).toBe(
            'paused',
          )

          const rolledBack = await post(subject, 'rollback', { checkpointID: saved.checkpointID })
          expect(rolledBack.status).toBe(200)
          expect((await proving.revive(subject))?.count).toBe(savedCount + 1)
          await proving.expectNoLeaks()
          await proving.killAll()
        }
      },
      120_000 + DAMAGES * 60_000,
    )
}

/** Fills the disk until only this much room is left. */
function fillDisk(freeMiB: number): void {
  const { bavail, bsize } = statfsSync(disk.path)
  const freeBytes = bavail * bsize
  const block = Buffer.alloc(2 ** 20)
  for (let left = freeBytes - freeMiB * 2 ** 20; left > 0; left -= block.length)
    try {
      appendFileSync(disk.ballast, block)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return
      throw error
    }
}

test('without space a pause gets a 507 before anything is stopped, and works once there is space', async () => {
  const subject = await proving.begin(1, 32)
  fillDisk(8)
  for (const what of ['pause', 'snapshots', 'fork']) {
    const refused = await post(subject, what)
    expect(refused.status, what).toBe(507)
    expect((await refused.json()) as Refused).toMatchObject({ code: 507, error_code: 'disk_full' })
  }
  expect((await proving.revive(subject))?.count).toBe(2)
  rmSync(disk.ballast)
  expect((await post(subject, 'pause')).status).toBe(204)
  expect((await proving.revive(subject))?.count).toBe(3)
  await proving.expectNoLeaks()
}, 120_000)

test(
  `a disk that fills up during a pause leaves the sandbox intact, running or paused (${FULL_DISKS} times)`,
  async () => {
    const random = randomFrom(SEED)
    for (let i = 0; i < FULL_DISKS; i++) {
      const subject = await proving.begin(i, 64)
      const [paused] = await Promise.all([
        post(subject, 'pause'),
        delay(random() * 200).then(() => fillDisk(0)),
      ])
      expect([204, 507]).toContain(paused.status)
      rmSync(disk.ballast, { force: true })
      expect((await proving.revive(subject))?.count).toBe(subject.account.count + 1)
      await proving.expectNoLeaks()
      await proving.killAll()
    }
  },
  120_000 + FULL_DISKS * 60_000,
)

test('a sandbox whose deadline passes on a full disk keeps running, and is paused once there is space', async () => {
  const subject = await proving.begin(1, 16)
  fillDisk(8)
  expect((await post(subject, 'timeout', { timeout: 0 })).status).toBe(204)
  await expect
    .poll(() => server.log(), { timeout: 20_000 })
    .toContain('could not be paused at its deadline and keeps running')
  const state = () =>
    proving.read<{ state: string }>(`/sandboxes/${subject.sandboxId}`).then((found) => found.state)
  expect(await state()).toBe('running')
  rmSync(disk.ballast)
  await expect.poll(state, { timeout: 60_000, interval: 500 }).toBe('paused')
  expect((await proving.revive(subject))?.count).toBe(subject.account.count + 1)
  await proving.expectNoLeaks()
}, 180_000)
