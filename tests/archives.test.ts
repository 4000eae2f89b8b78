import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { ArchiveChecks } from '@sandlot/node/images/archive-checks'
import { type Header, pack } from 'tar-stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ensureImager } from '../packages/sandlot/src/setup/index.ts'

let scratch: string
let checks: ArchiveChecks
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'sandlot-archives-'))
  const cache = process.env.SANDLOT_CACHE ?? '/var/cache/sandlot'
  checks = new ArchiveChecks((await ensureImager(cache, { update: () => {} })).path)
}, 300_000)
afterAll(() => rmSync(scratch, { recursive: true }))

type Entry = Partial<Header> & { name: string; content?: Buffer | string }
async function tarOf(...entries: Entry[]): Promise<Buffer> {
  const tar = pack()
  for (const { content, ...header } of entries) tar.entry(header, content ?? '')
  tar.finalize()
  return buffer(tar)
}
const save = (archive: Buffer) => {
  const file = join(scratch, createHash('sha256').update(archive).digest('hex'))
  writeFileSync(file, archive)
  return file
}
const LIMITS = { maxConcurrent: 1, maxEntries: 300_000, maxBytes: 16 * 2 ** 30 }
const check = (archive: Buffer, owner = 'team', limits: Partial<typeof LIMITS> = {}) =>
  checks.check(save(archive), { ...LIMITS, owner, ...limits })
const refused = (words: string) => ({
  errorName: 'invalid_request',
  message: expect.stringContaining(`the archive is refused: ${words}`),
})

test('archives for COPY are accepted, plain and gzipped, also those that tar itself makes', async () => {
  const tar = await tarOf(
    { name: 'x', content: 'x' },
    { name: 'l', type: 'symlink', linkname: '/etc/passwd' },
  )
  await check(tar)
  await check(gzipSync(tar))
  mkdirSync(join(scratch, 'folder', 'long'.repeat(50)), { recursive: true })
  writeFileSync(join(scratch, 'folder', 'ä'.repeat(100)), randomBytes(70_000))
  for (const format of ['gnu', 'pax'])
    await check(execFileSync('tar', ['-C', scratch, `--format=${format}`, '-cz', 'folder']))
})

test.each([
  [{ name: '../x' }, "entry '../x' is not a path inside the context folder"],
  [{ name: '/x' }, "entry '/x' is not a path inside the context folder"],
  [{ name: 'd', type: 'character-device' as const }, "entry 'd' is a character-device: only files"],
  [
    { name: 'l', type: 'link' as const, linkname: '/etc/passwd' },
    "entry 'l' is a hard link to '/etc/passwd'",
  ],
  [
    { name: `\u001b[2J${'x'.repeat(300)}`, type: 'fifo' as const },
    `entry '?[2J${'x'.repeat(196)}' is a fifo`,
  ],
])('entry %j is refused', async (entry, words) => {
  await expect(check(await tarOf({ name: 'well' }, entry))).rejects.toMatchObject(refused(words))
})

test('a truncated, empty or malformed archive is refused with the reason', async () => {
  const tar = await tarOf({ name: 'x', content: randomBytes(3000) }, { name: 'y', content: 'y' })
  const zipped = gzipSync(tar)
  const cuts = [1, 511, 512, 1024, 4096, tar.length - 1024].map((at) => tar.subarray(0, at))
  for (const cut of [...cuts, ...[5, 1500, zipped.length - 1].map((at) => zipped.subarray(0, at))])
    await expect(check(cut), String(cut.length)).rejects.toMatchObject(refused('it is '))
  await expect(check(Buffer.alloc(0))).rejects.toMatchObject(refused('it is empty'))
  await expect(check(Buffer.from('no tar'.repeat(1000)))).rejects.toMatchObject(refused('it is not a tar'))
})

test('a decompression bomb is refused by its header or within little memory, and nothing else waits for it', async () => {
  const bomb = gzipSync(await tarOf({ name: 'zeros', content: Buffer.alloc(300_000_000) }), { level: 1 })
  const file = save(bomb)
  const before = process.cpuUsage()
  const good = save(await tarOf({ name: 'x' }))
  const ended: string[] = []
  const sent = ['evil', 'evil', 'evil', 'good'].map(async (owner) => {
    await checks.check(owner === 'good' ? good : file, { ...LIMITS, owner })
    ended.push(owner)
  })
  await Promise.all(sent)
  expect(ended.at(-1)).toBe('evil')
  const { user, system } = process.cpuUsage(before)
  expect((user + system) / 1000, 'ms of this process').toBeLessThan(1000)
  const limits = { maxEntries: 10, maxBytes: 1_000_000 }
  await expect(check(bomb, 'evil', limits)).rejects.toMatchObject(refused('it unpacks to more than 0 MB'))
  const many = await tarOf({ name: 'a' }, { name: 'b' })
  const two = { ...limits, maxEntries: 1 }
  await expect(check(many, 'evil', two)).rejects.toMatchObject(refused('it has more than 1 entries'))
})

test('a symbolic link in place of the archive is not followed', async () => {
  symlinkSync('/etc/passwd', join(scratch, 'link'))
  await expect(checks.check(join(scratch, 'link'), { ...LIMITS, owner: 'team' })).rejects.toMatchObject({
    code: 'ELOOP',
  })
})
