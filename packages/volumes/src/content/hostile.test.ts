import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { VolumeEntry } from '@sandlot/protocol/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Volumes } from '../storage/volumes.ts'
import { VolumesOfTest } from '../test-support/volumes-of-test.ts'

const ID = 'vol-hostile'
const MiB = 2 ** 20

let own: VolumesOfTest
let volumes: Volumes
/** What a sandbox sees: the tests change it as its root would. */
let guest: string
/** Files of the host that nothing may read or change. */
let outside: string

beforeAll(async () => {
  outside = mkdtempSync(join(tmpdir(), 'sandlot-outside-'))
  writeFileSync(join(outside, 'secret'), 'secret')
  own = await VolumesOfTest.make()
  volumes = await own.open()
  await volumes.create(ID, { sizeBytes: 256 * MiB })
  guest = (await volumes.attach(ID)).directory
})

afterAll(async () => {
  rmSync(outside, { recursive: true, force: true })
  await own.end()
})

const path = (value: string) => Buffer.from(value)
const write = (name: string, content: string, force = true) =>
  volumes.files.write(ID, path(name), Readable.from([Buffer.from(content)]), {}, force)
const read = async (name: string) => text((await volumes.files.open(ID, path(name))).read() as Readable)
const names = async (name: string, depth = 1): Promise<VolumeEntry[]> => {
  const all: VolumeEntry[] = []
  for await (const entries of await volumes.files.list(ID, path(name), depth)) all.push(...entries)
  return all
}

test('an absolute link is resolved inside the volume, when files are read and written', async () => {
  symlinkSync(join(outside, 'secret'), join(guest, 'absolute'))
  await expect(read('/absolute')).rejects.toMatchObject({ errorName: 'not_found' })
  await write('/absolute', 'mine')
  expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('secret')
  expect(lstatSync(join(guest, 'absolute')).isFile()).toBe(true)
})

test('a link as a parent is resolved inside the volume', async () => {
  symlinkSync(outside, join(guest, 'door'))
  await expect(write('/door/new', 'x', false)).rejects.toMatchObject({ errorName: 'not_found' })
  await expect(read('/door/secret')).rejects.toMatchObject({ errorName: 'not_found' })
  await expect(volumes.files.remove(ID, path('/door/secret'))).rejects.toMatchObject({
    errorName: 'not_found',
  })
  await expect(volumes.files.change(ID, path('/door/secret'), { mode: 0o777 })).rejects.toMatchObject({
    errorName: 'not_found',
  })
  mkdirSync(join(guest, outside), { recursive: true })
  await write('/door/new', 'inside')
  expect(readdirSync(outside)).toEqual(['secret'])
  expect(readFileSync(join(guest, outside, 'new'), 'utf8')).toBe('inside')
})

test('relative links with many .. stay inside the volume', async () => {
  symlinkSync('../../../../../../../../../../../../../../etc', join(guest, 'up'))
  await expect(read('/up/passwd')).rejects.toMatchObject({ errorName: 'not_found' })
})

test('.. in a path, null bytes and over-long paths are refused', async () => {
  for (const bad of [
    '/../etc/passwd',
    '/a/..',
    '..',
    '/a\0b',
    `/${'n'.repeat(256)}`,
    `/${'a/'.repeat(2500)}`,
  ])
    await expect(volumes.files.stat(ID, path(bad))).rejects.toMatchObject({ errorName: 'invalid_request' })
})

test('magic links of /proc and of this process are not followed', async () => {
  symlinkSync('/proc/self/root', join(guest, 'magic'))
  await expect(read('/magic/etc/passwd')).rejects.toMatchObject({ errorName: 'not_found' })
})

test('a link is described, changed and removed itself', async () => {
  const secret = join(outside, 'secret')
  const before = statSync(secret)
  symlinkSync(secret, join(guest, 'link'))
  expect(await volumes.files.stat(ID, path('/link'))).toMatchObject({ type: 'symlink', target: secret })
  await volumes.files.change(ID, path('/link'), { uid: 7 })
  expect(lstatSync(join(guest, 'link')).uid).toBe(7)
  await expect(volumes.files.change(ID, path('/link'), { mode: 0o777 })).rejects.toMatchObject({
    errorName: 'invalid_request',
  })
  await volumes.files.remove(ID, path('/link'))
  expect(existsSync(join(guest, 'link'))).toBe(false)
  expect(statSync(secret)).toMatchObject({ uid: before.uid, mode: before.mode })
})

test('removing a tree removes its links, not what they lead to', async () => {
  mkdirSync(join(guest, 'farm/deep'), { recursive: true })
  for (let count = 0; count < 300; count += 1) symlinkSync(outside, join(guest, `farm/deep/${count}`))
  symlinkSync('/', join(guest, 'farm/root'))
  await volumes.files.remove(ID, path('/farm'))
  expect(existsSync(join(guest, 'farm'))).toBe(false)
  expect(readdirSync(outside)).toEqual(['secret'])
})

test('a listing does not follow links', async () => {
  mkdirSync(join(guest, 'listed/a'), { recursive: true })
  symlinkSync(outside, join(guest, 'listed/a/b'))
  const found = await names('/listed', 5)
  expect(found.map(({ path, type }) => [path, type])).toEqual([
    ['/listed/a', 'directory'],
    ['/listed/a/b', 'symlink'],
  ])
})

test('a folder that is swapped for a link all the time never leads a reader, a writer or a removal out', async () => {
  mkdirSync(join(guest, 'race/d'), { recursive: true })
  // the same name inside the volume, so that reads succeed when the link is resolved there
  mkdirSync(join(guest, outside), { recursive: true })
  writeFileSync(join(guest, outside, 'secret'), 'public')
  writeFileSync(join(guest, 'race/d/secret'), 'public')
  const swap = `
    const { renameSync, symlinkSync } = require('node:fs')
    symlinkSync(${JSON.stringify(outside)}, 'l')
    process.stdout.write('ready')
    for (;;) { renameSync('d', 'x'); renameSync('l', 'd'); renameSync('d', 'l'); renameSync('x', 'd') }`
  const attacker = spawn(process.execPath, ['-e', swap], { cwd: join(guest, 'race') })
  await once(attacker.stdout, 'data')
  const until = performance.now() + 2_000
  let rounds = 0
  try {
    // a fixed number at least, as a busy machine does few rounds in that time
    while (rounds < 12 || performance.now() < until) {
      const content = await read('/race/d/secret').catch(() => 'public')
      expect(content).toBe('public')
      await write('/race/d/written', 'x', false).catch(() => {})
      await names('/race', 4)
      await volumes.files.remove(ID, path('/race/d/written')).catch(() => {})
      rounds += 1
    }
  } finally {
    attacker.kill('SIGKILL')
    await once(attacker, 'exit')
  }
  await volumes.files.remove(ID, path('/race'))
  expect(readdirSync(outside)).toEqual(['secret'])
})

test('pipes, sockets and devices are unknown, and are not opened', async () => {
  execFileSync('mkfifo', [join(guest, 'pipe')])
  execFileSync('mknod', [join(guest, 'device'), 'c', '1', '5'])
  expect((await volumes.files.stat(ID, path('/pipe'))).type).toBe('unknown')
  expect((await volumes.files.stat(ID, path('/device'))).type).toBe('unknown')
  await expect(read('/pipe')).rejects.toMatchObject({ errorName: 'invalid_request' })
  await expect(read('/device')).rejects.toMatchObject({ errorName: 'invalid_request' })
  await write('/pipe', 'now a file')
  expect(await read('/pipe')).toBe('now a file')
})

test('devices and setuid files of a volume have no effect on the host', async () => {
  execFileSync('mknod', [join(guest, 'null'), 'c', '1', '3'])
  expect(() => writeFileSync(join(guest, 'null'), 'x')).toThrow('EACCES')
  execFileSync('cp', ['/usr/bin/id', join(guest, 'id')])
  chmodSync(join(guest, 'id'), 0o4755)
  expect((await volumes.files.stat(ID, path('/id'))).mode).toBe(0o4755)
  const seen = execFileSync('setpriv', ['--reuid=1000', '--clear-groups', join(guest, 'id'), '-u'])
  expect(seen.toString().trim()).toBe('1000')
})

test('owners on disk are not those of the host', async () => {
  await write('/owned', 'x')
  const { uid } = await volumes.files.stat(ID, path('/owned'))
  expect(uid).toBe(0)
  await volumes.files.change(ID, path('/owned'), { uid: 1234, gid: 4321, mode: 0o640 })
  expect(statSync(join(guest, 'owned'))).toMatchObject({ uid: 1234, gid: 4321 })
})

test('overwriting one of two hard links leaves the other as it is', async () => {
  writeFileSync(join(guest, 'one'), 'before')
  linkSync(join(guest, 'one'), join(guest, 'two'))
  await write('/one', 'after')
  expect(readFileSync(join(guest, 'two'), 'utf8')).toBe('before')
})

test('names with newlines and other bytes that are not UTF-8 work', async () => {
  await write('/line\nbreak', 'x')
  expect(await read('/line\nbreak')).toBe('x')
  const raw = Buffer.from([0x2f, 0x72, 0x61, 0x77, 0xff, 0xfe])
  await volumes.files.write(ID, raw, Readable.from([Buffer.from('bytes')]), {}, false)
  const found = (await names('/')).find(({ pathBytes }) => pathBytes !== undefined)
  expect(Buffer.from(found!.pathBytes!, 'base64')).toEqual(raw)
  await volumes.files.remove(ID, raw)
  await expect(volumes.files.stat(ID, raw)).rejects.toMatchObject({ errorName: 'not_found' })
})

test('a tree that is thousands of levels deep can be removed', async () => {
  const descend =
    "const fs = require('fs'); for (let i = 0; i < 3000; i++) { fs.mkdirSync('deep'); process.chdir('deep') }"
  execFileSync(process.execPath, ['-e', descend], { cwd: guest })
  await volumes.files.remove(ID, path('/deep'))
  expect(existsSync(join(guest, 'deep'))).toBe(false)
  await expect.poll(() => readdirSync(join(guest, '../all/staging')), { timeout: 10_000 }).toEqual([])
}, 30_000)

test('a folder that a sandbox still writes into disappears at once', async () => {
  mkdirSync(join(guest, 'busy'))
  const writer = spawn('bash', ['-c', 'echo ready; for i in $(seq 200); do : > f$i; done; sleep 60'], {
    cwd: join(guest, 'busy'),
  })
  await once(writer.stdout, 'data')
  await volumes.files.remove(ID, path('/busy'))
  expect(existsSync(join(guest, 'busy'))).toBe(false)
  writer.kill('SIGKILL')
  await once(writer, 'exit')
})

test('what sandboxes see contains neither the staging folder nor lost+found', async () => {
  expect(readdirSync(guest)).not.toContain('staging')
  expect(readdirSync(guest)).not.toContain('lost+found')
})
