import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkArchive, problemOf } from './check-archive.ts'
import { Uploads } from './uploads.ts'

const hash = 'a'.repeat(64)
let dir: string
let now: number
let uploads: Uploads
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-uploads-'))
  now = Date.now()
  uploads = new Uploads(dir, () => now)
  await uploads.prepare()
})
afterEach(() => rmSync(dir, { recursive: true }))

async function tarOf(
  ...entries: Array<Partial<Header> & { name: string; content?: string }>
): Promise<Buffer> {
  const tar = pack()
  for (const { content, ...header } of entries) tar.entry(header, content ?? '')
  tar.finalize()
  return buffer(tar)
}
const send = (token: string, content: Buffer) => uploads.receive(token, Readable.from([content]))

test.each([
  ['plain', (tar: Buffer) => tar],
  ['gzipped', gzipSync],
])('a %s tar is kept', async (_, wrap) => {
  await send(uploads.ticket('t1', hash), wrap(await tarOf({ name: 'x', content: 'x' })))
  expect(await uploads.has('t1', hash)).toBe(true)
})

test('nobody but the team that sent it finds an archive', async () => {
  await send(uploads.ticket('t1', hash), await tarOf({ name: 'x', content: 'x' }))
  expect(await uploads.has('t2', hash)).toBe(false)
})

test('a ticket is for one upload within the hour', async () => {
  const content = await tarOf({ name: 'x', content: 'x' })
  const used = uploads.ticket('t1', hash)
  await send(used, content)
  await expect(send(used, content)).rejects.toMatchObject({ errorName: 'forbidden' })
  const late = uploads.ticket('t1', hash)
  now += 3600_001
  await expect(send(late, content)).rejects.toMatchObject({ errorName: 'forbidden' })
})

test('what is refused leaves nothing, and its ticket is good for another try', async () => {
  const token = uploads.ticket('t1', hash)
  await expect(send(token, Buffer.from('no tar'))).rejects.toMatchObject({ errorName: 'invalid_request' })
  expect(readdirSync(dir)).toEqual([])
  await send(token, await tarOf({ name: 'x', content: 'x' }))
  expect(await uploads.has('t1', hash)).toBe(true)
})

test('an upload that breaks off leaves nothing', async () => {
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from('half')
      throw new Error('gone')
    })(),
  )
  await expect(uploads.receive(uploads.ticket('t1', hash), broken)).rejects.toThrow('gone')
  expect(readdirSync(dir)).toEqual([])
})

test('archives that were not used for a week go at a start', async () => {
  await send(uploads.ticket('t1', hash), await tarOf({ name: 'x', content: 'x' }))
  now += 6 * 24 * 3600_000
  expect(await uploads.has('t1', hash)).toBe(true)
  now += 6 * 24 * 3600_000
  await uploads.prepare()
  expect(await uploads.has('t1', hash)).toBe(true)
  now += 8 * 24 * 3600_000
  await uploads.prepare()
  expect(await uploads.has('t1', hash)).toBe(false)
})

test.each([
  [{ name: '../x' }, 'not a path inside'],
  [{ name: 'a/../../x' }, 'not a path inside'],
  [{ name: '/x' }, 'not a path inside'],
  [{ name: 'd', type: 'character-device' as const }, 'is a character-device'],
  [{ name: 'f', type: 'fifo' as const }, 'is a fifo'],
  [{ name: 'l', type: 'link' as const, linkname: '/etc/passwd' }, 'outside of the context folder'],
])('entry %j is not taken', (entry, message) => {
  expect(problemOf({ type: 'file', linkname: '', ...entry })).toContain(message)
})

test('links that stay links are taken wherever they lead: they are read inside the sandbox only', () => {
  expect(problemOf({ name: 'l', type: 'symlink', linkname: '/etc/passwd' })).toBeUndefined()
})

test('a bomb is refused before it is unpacked', async () => {
  const content = gzipSync(await tarOf({ name: 'zeros', content: '\0'.repeat(5_000_000) }))
  expect(content.length).toBeLessThan(10_000)
  await send(uploads.ticket('t1', hash), content)
  const file = uploads.path('t1', hash)
  await expect(checkArchive(file, { maxEntries: 10, maxBytes: 1_000_000 })).rejects.toThrow(
    'unpacks to more than',
  )
  await expect(checkArchive(file, { maxEntries: 0, maxBytes: 10_000_000 })).rejects.toThrow(
    'more than 0 entries',
  )
})
