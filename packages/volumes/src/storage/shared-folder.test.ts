import { execFileSync } from 'node:child_process'
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { FIRST_VOLUME_ID } from '@sandlot/protocol/node'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { quietLogger, VolumesOfTest } from '../test-support/volumes-of-test.ts'
import { hasDevice } from './image.ts'
import { ImageHolds, type TryLock } from './image-holds.ts'
import { VolumeLayout } from './layout.ts'
import { TemporaryNames } from './temporary-names.ts'
import type { Volumes, VolumesOptions } from './volumes.ts'

const MiB = 2 ** 20
const SIZE = { sizeBytes: 64 * MiB }

/** Two servers with one folder of volumes, each with mounts of its own. */
let own: VolumesOfTest
let other: VolumesOfTest
beforeEach(async () => {
  own = await VolumesOfTest.make()
  other = await VolumesOfTest.make()
})
afterEach(async () => {
  await other.end()
  await own.end()
})

const first = (options: Partial<VolumesOptions> = {}) => own.open({ server: 'first', ...options })
const second = (options: Partial<VolumesOptions> = {}) =>
  other.open({ server: 'second', dir: own.dir, ...options })
const put = (volumes: Volumes, name: string, content: string) =>
  volumes.files.write('v1', Buffer.from(name), Readable.from([Buffer.from(content)]), {}, true)
const get = async (volumes: Volumes, name: string) =>
  text((await volumes.files.open('v1', Buffer.from(name))).read() as Readable)

/** Locks as those of the kernel, for servers that are one process here. */
function locks(): TryLock {
  const held = new Set<string>()
  return (path) => {
    if (held.has(path)) return undefined
    held.add(path)
    return { release: () => void held.delete(path) }
  }
}

describe('volumes that are folders', () => {
  test('are used by two servers at a time, and go to the trash and back on either', async () => {
    const one = await first({ kind: 'folder' })
    await one.create('v1', SIZE)
    await put(one, '/a', 'of the first')
    const two = await second({ kind: 'folder' })
    expect(await get(two, '/a')).toBe('of the first')
    await put(two, '/a', 'of the second')
    expect(await get(one, '/a')).toBe('of the second')
    await two.trash('v1')
    await expect(put(two, '/b', '')).rejects.toMatchObject({ errorName: 'not_found' })
    await one.restore('v1')
    expect(await get(two, '/a')).toBe('of the second')
  })

  test('are not disturbed by the start of another server: uploads, removals and new volumes go on', async () => {
    const one = await first({ kind: 'folder' })
    await one.create('v1', SIZE)
    const content = new PassThrough()
    const upload = one.files.write('v1', Buffer.from('/a'), content, {}, true)
    content.write('half')
    const staging = join(own.dir, 'live/v1/tree/staging')
    await expect.poll(() => readdirSync(staging)).toHaveLength(1)
    const [creating, removing] = [join(own.dir, 'creating'), join(own.dir, 'removing')]
    mkdirSync(join(creating, 'first~run~new'))
    mkdirSync(join(removing, 'first~run~old'))
    const two = await second({ kind: 'folder' })
    await put(two, '/b', 'x')
    await two.remove('unknown')
    await two.close()
    expect([readdirSync(creating), readdirSync(removing)]).toEqual([['first~run~new'], ['first~run~old']])
    content.end(' and half')
    await upload
    expect(await get(one, '/a')).toBe('half and half')
    expect(readdirSync(staging)).toEqual([])
  })

  test('are rid at once of what the former run of a server left, and of what another left a day ago', () => {
    const names = new TemporaryNames('first')
    const dayAgo = Date.now() - 25 * 60 * 60_000
    expect([
      names.isLeftover(names.next(), Date.now()),
      names.isLeftover(new TemporaryNames('first').next(), Date.now()),
      names.isLeftover(new TemporaryNames('second').next(), Date.now()),
      names.isLeftover(new TemporaryNames('second').next(), dayAgo),
      names.isLeftover('of-a-version-before', dayAgo),
    ]).toEqual([false, true, false, true, true])
  })

  test('lose what an upload left whose server was killed, at the next use', async () => {
    const one = await first({ kind: 'folder' })
    await one.create('v1', SIZE)
    const staging = join(own.dir, 'live/v1/tree/staging')
    for (const name of ['first~killed~upload', 'second~runs~upload']) {
      writeFileSync(join(staging, name), 'half')
      chownSync(join(staging, name), FIRST_VOLUME_ID, FIRST_VOLUME_ID)
    }
    await put(one, '/a', 'x')
    await expect.poll(() => readdirSync(staging)).toEqual(['second~runs~upload'])
  })
})

describe('volumes that are images', () => {
  const HOLDER = () => join(own.dir, 'live/v1/holder.json')
  const holdsOf = (server: string, bootId: string, lock: TryLock) =>
    new ImageHolds({
      layout: new VolumeLayout(own.dir, new TemporaryNames(server)),
      server,
      bootId,
      lock,
      logger: quietLogger,
    })

  test('are refused by a server while another one uses them, and then are not', async () => {
    const lock = locks()
    const one = await first({ lock })
    await one.create('v1', SIZE)
    await put(one, '/a', 'x')
    const two = await second({ lock })
    const refused = {
      errorName: 'volume_unavailable',
      message: expect.stringContaining("used by the server 'first', which runs"),
    }
    await expect(get(two, '/a')).rejects.toMatchObject(refused)
    await expect(two.trash('v1')).rejects.toMatchObject(refused)
    await expect(two.remove('v1')).rejects.toMatchObject(refused)
    await one.close()
    expect(existsSync(HOLDER())).toBe(false)
    expect(await get(two, '/a')).toBe('x')
    await expect(two.grow('v1', 80 * MiB)).resolves.toBeUndefined()
    await two.trash('v1')
    await two.remove('v1')
  })

  test('stay recorded as held when they are used again while an old use is being forgotten', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
    const lock = locks()
    const one = await first({ lock })
    await one.create('v1', SIZE)
    await one.close()
    const image = join(own.dir, 'live/v1/image')
    // as a sandbox that has unmounted the volume and still holds it
    const device = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim()
    try {
      const holds = holdsOf('first', 'boot-1', lock)
      await holds.take('v1')
      await holds.release('v1')
      expect(existsSync(HOLDER())).toBe(true)
      execFileSync('losetup', ['--detach', device])
      // a busy machine, on which the new use overtakes the program that looks for devices
      const slow = join(own.dir, 'losetup')
      writeFileSync(slow, '#!/bin/sh\nPATH=${PATH#*:} losetup "$@"; sleep 0.3', { mode: 0o755 })
      vi.stubEnv('PATH', `${own.dir}:${process.env.PATH}`)
      vi.advanceTimersToNextTimer()
      await holds.take('v1')
      // ends after the one that the timer began
      for (let count = 0; count < 2; count += 1) await hasDevice(image)
      expect(existsSync(HOLDER())).toBe(true)
      await holds.release('v1')
      expect(existsSync(HOLDER())).toBe(false)
      await holds.close()
    } finally {
      vi.unstubAllEnvs()
      vi.useRealTimers()
      execFileSync('sh', [
        '-c',
        `losetup --associated ${image} --noheadings --output NAME | xargs -r losetup -d`,
      ])
    }
  })

  test('stay locked until they are in the trash, where no record of a holder is', async () => {
    const seen: boolean[] = []
    const lock: TryLock = () => ({ release: () => void seen.push(existsSync(join(own.dir, 'live/v1'))) })
    const one = await first({ lock })
    await one.create('v1', SIZE)
    await one.trash('v1')
    expect(seen).toEqual([false])
    expect(existsSync(join(own.dir, 'trash/v1/holder.json'))).toBe(false)
    await one.restore('v1')
    await one.remove('v1')
    expect(seen).toEqual([false, false])
  })

  test('are not found by a server that wants to use them while another one moves them to the trash', async () => {
    const one = await first({ lock: locks() })
    await one.create('v1', SIZE)
    const two = await second({
      lock: () => {
        renameSync(join(own.dir, 'live/v1'), join(own.dir, 'trash/v1'))
        throw new Error('unable to open database file')
      },
    })
    await expect(two.attach('v1')).rejects.toMatchObject({ errorName: 'not_found' })
    await one.restore('v1')
    const three = await second({
      lock: () => {
        renameSync(join(own.dir, 'live/v1'), join(own.dir, 'trash/v1'))
        return { release() {} }
      },
    })
    await expect(three.attach('v1')).rejects.toMatchObject({ errorName: 'not_found' })
    await one.restore('v1')
  })

  test('are not locked for ever by a record that cannot be read', async () => {
    const lock = locks()
    const one = await first({ lock })
    await one.create('v1', SIZE)
    writeFileSync(HOLDER(), '{')
    await expect(one.attach('v1')).rejects.toMatchObject({
      errorName: 'volume_unavailable',
      message: expect.stringMatching(/cannot be read.*delete .*holder\.json/),
    })
    rmSync(HOLDER())
    await one.attach('v1')
    await one.release('v1')
  })

  test('are refused after the end of a server whose machine may still have them mounted', async () => {
    const lock = locks()
    const one = await first({ lock })
    await one.create('v1', SIZE)
    await one.close()
    const dead = holdsOf('first', 'boot-1', lock)
    await dead.take('v1')
    await dead.close()
    writeFileSync(HOLDER(), JSON.stringify({ server: 'first', bootId: 'boot-1' }))
    await expect(holdsOf('second', 'boot-2', lock).take('v1')).rejects.toMatchObject({
      errorName: 'volume_unavailable',
      message: expect.stringMatching(
        /server 'first', whose machine may still have it mounted.*delete .*holder\.json/,
      ),
    })
    for (const [server, bootId] of [
      ['second', 'boot-1'],
      ['first', 'boot-1'],
    ] as const) {
      const holds = holdsOf(server, bootId, lock)
      await holds.take('v1')
      expect(JSON.parse(readFileSync(HOLDER(), 'utf8'))).toEqual({ server, bootId })
      await holds.release('v1')
      expect(existsSync(HOLDER())).toBe(false)
    }
    writeFileSync(HOLDER(), JSON.stringify({ server: 'first', bootId: 'boot-1' }))
    await holdsOf('first', 'boot-2', lock).take('v1')
  })
})

test('no other user of the host gets into the folders of volumes, also when they were there before', async () => {
  const live = join(own.dir, 'live')
  mkdirSync(live, { mode: 0o755 })
  await own.open()
  expect(statSync(live).mode & 0o777).toBe(0o700)
})

test('on a file system that cannot map ids, files have the ids that sandboxes see', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sandlot-overlay-test-'))
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(dir, name))
  for (const folder of [lower, upper, work, merged]) mkdirSync(folder!)
  execFileSync('mount', [
    ...['-t', 'overlay', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`],
    ...['overlay', merged!],
  ])
  try {
    const volumes = await own.open({ dir: merged, kind: 'folder' })
    await volumes.create('v1', SIZE)
    await put(volumes, '/a', 'x')
    await volumes.files.change('v1', Buffer.from('/a'), { uid: 1000 })
    expect(await volumes.attach('v1')).toMatchObject({ hasPlainIds: true })
    expect(statSync(join(merged!, 'live/v1/tree/root/a')).uid).toBe(1000)
    expect(statSync(join(own.mountDir, 'v1/root')).uid).toBe(1000)
    await volumes.files.remove('v1', Buffer.from('/a'))
    await volumes.release('v1')
    await volumes.close()
  } finally {
    execFileSync('umount', ['-l', merged!])
    rmSync(dir, { recursive: true })
  }
})
