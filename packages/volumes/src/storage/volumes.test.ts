import { execFileSync, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { mountsIn } from '@sandlot/linux'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { VolumesOfTest } from '../test-support/volumes-of-test.ts'
import type { Volumes } from './volumes.ts'

const MiB = 2 ** 20

let own: VolumesOfTest
beforeEach(async () => void (own = await VolumesOfTest.make()))
afterEach(async () => own.end())

const newVolume = async (id = 'v1', options = {}): Promise<Volumes> => {
  const volumes = await own.open(options)
  await volumes.create(id, { sizeBytes: 64 * MiB })
  return volumes
}
const put = (volumes: Volumes, id: string, name: string, content: string | Buffer) =>
  volumes.files.write(id, Buffer.from(name), Readable.from([Buffer.from(content)]), {}, true)
const get = async (volumes: Volumes, id: string, name: string) =>
  text((await volumes.files.open(id, Buffer.from(name))).read() as Readable)
const ownMounts = () => mountsIn(own.mountDir).filter(({ target }) => target !== own.mountDir)
const seen = (id: string) => join(own.mountDir, id, 'root')

test('a new volume takes hardly any disk and is a mount without devices and setuid', async () => {
  const volumes = await newVolume()
  const { usedBytes, isSizeLimited } = await volumes.usage('v1')
  expect([usedBytes! < 6 * MiB, isSizeLimited]).toEqual([true, true])
  const { directory } = await volumes.attach('v1')
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((text) => text.includes(` ${directory} `))
  expect(line).toMatch(/nosuid/)
  expect(line).toMatch(/nodev/)
  expect(statSync(directory)).toMatchObject({ uid: 1000, gid: 1000 })
  await volumes.release('v1')
})

test('a volume is mounted once for all users, and unmounted a while after the last', async () => {
  const volumes = await newVolume('v1', { idleMs: 50 })
  const first = await volumes.attach('v1')
  const second = await volumes.attach('v1')
  expect(first).toEqual(second)
  expect(ownMounts().length).toBe(3)
  await volumes.release('v1')
  await volumes.release('v1')
  await expect.poll(() => ownMounts().length).toBe(0)
  await put(volumes, 'v1', '/a', 'kept')
  expect(await get(volumes, 'v1', '/a')).toBe('kept')
})

test('owners on disk begin at 100000', async () => {
  const volumes = await newVolume('v1', { kind: 'folder' })
  await put(volumes, 'v1', '/a', 'x')
  await volumes.files.change('v1', Buffer.from('/a'), { uid: 1000 })
  const onDisk = statSync(join(own.dir, 'live/v1/tree/root/a'))
  expect([onDisk.uid, onDisk.gid]).toEqual([101_000, 100_000])
})

test('a full volume is disk_full, leaves nothing half-written, and has room again after a removal', async () => {
  const volumes = await newVolume()
  await expect(put(volumes, 'v1', '/big', Buffer.alloc(80 * MiB))).rejects.toMatchObject({
    errorName: 'disk_full',
    status: 507,
  })
  await expect(get(volumes, 'v1', '/big')).rejects.toMatchObject({ errorName: 'not_found' })
  await put(volumes, 'v1', '/fits', Buffer.alloc(30 * MiB))
  await volumes.files.remove('v1', Buffer.from('/fits'))
  await put(volumes, 'v1', '/fits', Buffer.alloc(30 * MiB))
})

test('an upload that breaks off leaves the old file, and no other', async () => {
  const volumes = await newVolume()
  await put(volumes, 'v1', '/a', 'old')
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from('half')
      throw new Error('the client has gone')
    })(),
  )
  await expect(volumes.files.write('v1', Buffer.from('/a'), broken, {}, true)).rejects.toThrow('has gone')
  expect(await get(volumes, 'v1', '/a')).toBe('old')
  expect(readdirSync(join(own.mountDir, 'v1/all/staging'))).toEqual([])
})

test('without force a file is neither overwritten nor are its folders made', async () => {
  const volumes = await newVolume()
  const write = (name: string) =>
    volumes.files.write('v1', Buffer.from(name), Readable.from([Buffer.from('x')]), {}, false)
  await write('/a')
  await expect(write('/a')).rejects.toMatchObject({ errorName: 'conflict' })
  await expect(write('/d/a')).rejects.toMatchObject({ errorName: 'not_found' })
  await put(volumes, 'v1', '/d/e/a', 'x')
  await expect(put(volumes, 'v1', '/d', 'x')).rejects.toMatchObject({ errorName: 'conflict' })
})

test('overwriting keeps owner and mode', async () => {
  const volumes = await newVolume()
  await put(volumes, 'v1', '/a', 'x')
  await volumes.files.change('v1', Buffer.from('/a'), { uid: 1000, mode: 0o750 })
  expect(await put(volumes, 'v1', '/a', 'longer')).toMatchObject({ uid: 1000, mode: 0o750, sizeBytes: 6 })
})

test('a volume in use cannot go to the trash; one in the trash comes back as it was', async () => {
  const volumes = await newVolume('v1', { patienceMs: 10 })
  await put(volumes, 'v1', '/a', 'kept')
  await volumes.attach('v1')
  await expect(volumes.trash('v1')).rejects.toMatchObject({ errorName: 'conflict' })
  await volumes.release('v1')
  await volumes.trash('v1')
  await volumes.trash('v1')
  await expect(volumes.attach('v1')).rejects.toMatchObject({ errorName: 'not_found' })
  await volumes.restore('v1')
  expect(await get(volumes, 'v1', '/a')).toBe('kept')
})

test('a removed volume leaves nothing on the disk, of either kind', async () => {
  for (const kind of ['image', 'folder'] as const) {
    const volumes = await newVolume(kind, { kind })
    await put(volumes, kind, '/d/a', 'x')
    await volumes.remove(kind)
    await volumes.remove(kind)
    await expect.poll(() => readdirSync(join(own.dir, 'removing'))).toEqual([])
    expect(existsSync(join(own.dir, 'live', kind))).toBe(false)
    await volumes.close()
  }
})

test('removing the folder of a volume recursively is not what ends a volume that is mounted', async () => {
  const volumes = await newVolume()
  await put(volumes, 'v1', '/a', 'kept')
  await volumes.attach('v1')
  // what the start of a server does with mounts that it does not know
  const other = await own.open()
  expect(await get(other, 'v1', '/a')).toBe('kept')
  await volumes.release('v1')
})

test('a volume goes to the trash as soon as its last user has gone', async () => {
  const volumes = await newVolume()
  await volumes.attach('v1')
  await volumes.attach('v1')
  const trashed = volumes.trash('v1')
  await volumes.release('v1')
  await volumes.release('v1')
  await trashed
  await expect(volumes.attach('v1')).rejects.toMatchObject({ errorName: 'not_found' })
})

const sizeOf = (directory: string): number => {
  const { blocks, bsize } = statfsSync(directory)
  return blocks * bsize
}

test('a volume that is not in use grows, and keeps its files', async () => {
  const volumes = await newVolume()
  await put(volumes, 'v1', '/a', 'kept')
  await volumes.grow('v1', 256 * MiB)
  const { directory } = await volumes.attach('v1')
  expect(sizeOf(directory)).toBeGreaterThan(200 * MiB)
  await put(volumes, 'v1', '/big', Buffer.alloc(100 * MiB))
  expect(await get(volumes, 'v1', '/a')).toBe('kept')
  await volumes.release('v1')
})

test('room that a failed growth has left is not taken by a later, smaller one', async () => {
  const volumes = await newVolume()
  // as after a growth that Linux refused, whose size was given back
  truncateSync(join(own.dir, 'live/v1/image'), 1024 * MiB)
  await volumes.grow('v1', 128 * MiB)
  const { directory } = await volumes.attach('v1')
  expect(sizeOf(directory)).toBeGreaterThan(100 * MiB)
  expect(sizeOf(directory)).toBeLessThan(128 * MiB)
  await volumes.release('v1')
})

test('a volume that is read while it grows stays whole', async () => {
  const volumes = await newVolume('v1', { idleMs: 10 })
  await put(volumes, 'v1', '/a', 'kept')
  let isGrowing = true
  // refused where Linux does not let a volume in use grow
  const growing = volumes
    .grow('v1', 512 * MiB)
    .catch(() => {})
    .finally(() => (isGrowing = false))
  while (isGrowing) expect(await get(volumes, 'v1', '/a')).toBe('kept')
  await growing
  // a mount that is not listed any more may still write to the image, as does one that another process has in its namespace
  await volumes.attach('v1')
  const mounted = join(own.mountDir, 'v1/all')
  execFileSync('fsfreeze', ['--freeze', mounted])
  try {
    const image = join(own.dir, 'live/v1/image')
    const { stdout, status } = spawnSync('e2fsck', ['-f', '-n', image], { encoding: 'utf8' })
    expect({ stdout, status }).toMatchObject({ status: 0 })
  } finally {
    execFileSync('fsfreeze', ['--unfreeze', mounted])
    await volumes.release('v1')
  }
})

/** Linux wants it for online growth; the build machines lack it. */
const CAP_SYS_RESOURCE = 24n
const mayGrowOnline = (): boolean => {
  const [, hex] = /CapEff:\s*(\w+)/.exec(readFileSync('/proc/self/status', 'utf8'))!
  return ((BigInt(`0x${hex}`) >> CAP_SYS_RESOURCE) & 1n) === 1n
}

test('a volume in use grows where Linux allows it, else the error says what stands in the way', async () => {
  const volumes = await newVolume()
  const { directory } = await volumes.attach('v1')
  const growing = volumes.grow('v1', 256 * MiB)
  if (mayGrowOnline()) {
    await growing
    expect(sizeOf(directory)).toBeGreaterThan(200 * MiB)
  } else await expect(growing).rejects.toThrow('CAP_SYS_RESOURCE')
  await volumes.release('v1')
})

test('a copy has the files of one moment, another size, and a life of its own', async () => {
  const volumes = await newVolume()
  await put(volumes, 'v1', '/a', 'first')
  const { copied } = await volumes.create('v2', { sizeBytes: 128 * MiB, from: 'v1' })
  expect(['copy', 'reflink']).toContain(copied)
  await put(volumes, 'v1', '/a', 'second')
  expect(await get(volumes, 'v2', '/a')).toBe('first')
  const { directory } = await volumes.attach('v2')
  expect(sizeOf(directory)).toBeGreaterThan(100 * MiB)
  await volumes.release('v2')
})

test('two copies of one volume at a time are both made', async () => {
  const volumes = await newVolume()
  await put(volumes, 'v1', '/a', 'x')
  const ids = ['v2', 'v3']
  await Promise.all(ids.map((id) => volumes.create(id, { sizeBytes: 64 * MiB, from: 'v1' })))
  for (const id of ids) expect(await get(volumes, id, '/a')).toBe('x')
})

test('a copy does not begin in the middle of an upload, which would wait in a thread of the server', async () => {
  const volumes = await newVolume()
  const content = new PassThrough()
  content.write('half')
  const writing = volumes.files.write('v1', Buffer.from('/a'), content, {}, true)
  const copying = volumes.create('v2', { sizeBytes: 64 * MiB, from: 'v1' })
  await put(volumes, 'other', '/a', 'x').catch(() => {})
  content.end()
  await writing
  await copying
  expect(await get(volumes, 'v2', '/a')).toBe('half')
})

test('a listing that is ended before it was read gives everything back', async () => {
  const volumes = await newVolume()
  for (let count = 0; count < 65; count += 1)
    await (await volumes.files.list('v1', Buffer.from('/'), 1)).return(undefined)
  await volumes.trash('v1')
})

test('a process that was killed leaves mounts, copies and removals that the next one takes over', async () => {
  const killed = await newVolume()
  await put(killed, 'v1', '/a', 'kept')
  await killed.attach('v1')
  execFileSync('fsfreeze', ['--freeze', join(own.mountDir, 'v1/all')])
  mkdirSync(join(own.dir, 'creating/server~former~half'))
  mkdirSync(join(own.mountDir, 'gone/root'), { recursive: true })
  const next = await own.open()
  await put(next, 'v1', '/b', 'new')
  expect(await get(next, 'v1', '/a')).toBe('kept')
  expect(existsSync(join(own.mountDir, 'gone'))).toBe(false)
  await expect.poll(() => readdirSync(join(own.dir, 'removing'))).toEqual([])
  expect(readdirSync(join(own.dir, 'creating'))).toEqual([])
  await killed.release('v1')
})

test('two mounts of an image that a sandbox still holds are one file system', async () => {
  const volumes = await newVolume('v1', { idleMs: 10 })
  await put(volumes, 'v1', '/a', 'x')
  const { directory } = await volumes.attach('v1')
  // as a machine that pins the file system after the volume is unmounted
  const kept = `${own.dir}-kept`
  mkdirSync(kept)
  execFileSync('mount', ['--bind', directory, kept])
  try {
    await volumes.release('v1')
    await expect.poll(() => ownMounts().length).toBe(0)
    writeFileSync(join(kept, 'b'), 'from the machine')
    expect(await get(volumes, 'v1', '/b')).toBe('from the machine')
  } finally {
    execFileSync('umount', ['-l', kept])
    rmdirSync(kept)
  }
})

test('ids of volumes that are no ids are unknown volumes', async () => {
  const volumes = await own.open()
  for (const id of ['../live', '', 'a/b', 'x'.repeat(65), 'none'])
    await expect(volumes.files.stat(id, Buffer.from('/'))).rejects.toMatchObject({ errorName: 'not_found' })
})

test('what a sandbox sees is mounted at a path without the content of the host', async () => {
  const volumes = await newVolume()
  await volumes.attach('v1')
  expect(readdirSync(seen('v1'))).toEqual([])
  await volumes.release('v1')
})

test('what the host has to leave free is not taken by uploads, new volumes and copies', async () => {
  let roomBytes = Number.POSITIVE_INFINITY
  const volumes = await newVolume('v1', { roomBytes: () => roomBytes })
  await put(volumes, 'v1', '/a', 'kept')
  roomBytes = 0
  const full = { errorName: 'disk_full' }
  await expect(put(volumes, 'v1', '/a', 'new')).rejects.toMatchObject(full)
  await expect(volumes.create('v2', { sizeBytes: 64 * MiB })).rejects.toMatchObject(full)
  await expect(volumes.create('v3', { sizeBytes: 64 * MiB, from: 'v1' })).rejects.toMatchObject(full)
  expect(await get(volumes, 'v1', '/a')).toBe('kept')
  await volumes.files.remove('v1', Buffer.from('/a'))
})

test('a volume that cannot be made leaves nothing on the disk', async () => {
  const volumes = await newVolume()
  // larger than ext4 can be
  await expect(volumes.create('v2', { sizeBytes: 2 ** 62 })).rejects.toThrow()
  await expect(volumes.create('v3', { sizeBytes: 2 ** 62, from: 'v1' })).rejects.toThrow()
  expect(readdirSync(join(own.dir, 'creating'))).toEqual([])
  await expect.poll(() => readdirSync(join(own.dir, 'removing'))).toEqual([])
})

test('files that are still being removed do not keep a volume from the trash', async () => {
  const volumes = await newVolume()
  const { directory } = await volumes.attach('v1')
  for (let folder = 0; folder < 100; folder += 1) {
    mkdirSync(join(directory, 'd', String(folder)), { recursive: true })
    for (let file = 0; file < 30; file += 1)
      writeFileSync(join(directory, 'd', String(folder), String(file)), '')
  }
  const removing = volumes.files.remove('v1', Buffer.from('/d'))
  await expect.poll(() => existsSync(join(directory, 'd'))).toBe(false)
  await volumes.release('v1')
  await expect.poll(() => volumes.trash('v1').then(() => 'trashed', String)).toBe('trashed')
  await removing
})
