import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { freeId } from './adapt-root.ts'
import { pathInRoot } from './path-in-root.ts'
import { listLayer, unpackLayer } from './unpack-layer.ts'

let scratch: string
let root: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'sandlot-unpack-'))
  root = join(scratch, 'root')
  mkdirSync(root)
})
afterEach(() => rmSync(scratch, { recursive: true }))

type Entry = Partial<Header> & { name: string } & { content?: string }

async function apply(...entries: Entry[]): Promise<void> {
  const tar = pack()
  for (const { content, ...header } of entries) tar.entry(header, content ?? '')
  tar.finalize()
  const file = join(scratch, 'layer')
  writeFileSync(file, gzipSync(await buffer(tar)))
  await unpackLayer(file, await listLayer(file), root)
}
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const file = (name: string, content = name): Entry => ({ name, content })
const folder = (name: string): Entry => ({ name, type: 'directory' })
const link = (name: string, linkname: string, type: 'link' | 'symlink' = 'symlink'): Entry => ({
  name,
  type,
  linkname,
})

test('later layers replace, add, and delete', async () => {
  await apply(folder('a'), file('a/kept'), file('a/gone'), file('a/changed', 'before'), file('all/x'))
  await apply(file('a/.wh.gone', ''), file('a/changed', 'after'), file('a/new'), file('.wh.all', ''))
  expect(readdirSync(join(root, 'a')).sort()).toEqual(['changed', 'kept', 'new'])
  expect(read('a/changed')).toBe('after')
  expect(existsSync(join(root, 'all'))).toBe(false)
})

test('an opaque folder shows only what its own layer brings', async () => {
  await apply(folder('a'), file('a/old'), file('a/deep/old'))
  await apply(folder('a'), file('a/.wh..wh..opq', ''), file('a/new'))
  expect(readdirSync(join(root, 'a'))).toEqual(['new'])
})

test('hard links stay hard links, and one that is replaced leaves the other as it was', async () => {
  await apply(file('a', 'before'), link('b', 'a', 'link'), link('c', 'a', 'link'))
  expect(statSync(join(root, 'a')).nlink).toBe(3)
  await apply(file('a', 'after'))
  expect([read('a'), read('b'), read('c')]).toEqual(['after', 'before', 'before'])
})

test('a file takes the place of a folder and the other way round', async () => {
  await apply(file('x/inside'), file('y'))
  await apply(file('.wh.x', ''), file('x', 'file'), folder('y'), file('y/inside'))
  expect([read('x'), read('y/inside')]).toEqual(['file', 'y/inside'])
})

test('owners and modes are kept', async () => {
  await apply({ ...file('suid'), mode: 0o4755, uid: 1234, gid: 99 })
  const { mode, uid, gid } = statSync(join(root, 'suid'))
  expect([mode & 0o7777, uid, gid]).toEqual([0o4755, 1234, 99])
})

test('nothing outside of the root is written or deleted through links of a lower layer', async () => {
  const outside = join(scratch, 'outside')
  mkdirSync(outside)
  writeFileSync(join(outside, 'precious'), 'safe')
  await apply(link('evil', outside), link('up', '../outside'))
  await apply(
    file('evil/.wh.precious', ''),
    file('up/.wh.precious', ''),
    file('evil/planted'),
    file('up/planted'),
  ).catch(() => {})
  expect(readdirSync(outside)).toEqual(['precious'])
  expect(readFileSync(join(outside, 'precious'), 'utf8')).toBe('safe')
})

test('links are followed as they would be from inside', async () => {
  await apply(folder('real'), link('abs', '/real'), link('up', '../../real'), link('loop', 'loop'))
  expect(await pathInRoot(root, '/abs/x')).toBe(join(root, 'real/x'))
  expect(await pathInRoot(root, 'up/x')).toBe(join(root, 'real/x'))
  expect(await pathInRoot(root, '/../../etc')).toBe(join(root, 'etc'))
  expect(await pathInRoot(root, '/abs', { isLinkItself: true })).toBe(join(root, 'abs'))
  await expect(pathInRoot(root, '/loop')).rejects.toThrow('too many links')
})

test('the size of a layer is known before it is unpacked', async () => {
  const tar = pack()
  tar.entry({ name: 'a b c' }, 'x'.repeat(1000))
  tar.entry({ name: 'd/.wh.e f' }, '')
  tar.finalize()
  writeFileSync(join(scratch, 'layer'), await buffer(tar))
  expect(await listLayer(join(scratch, 'layer'))).toEqual({ whiteouts: ['d/.wh.e f'], sizeBytes: 1000 })
})

test('the user gets 1000, else the next that is free', () => {
  expect(freeId(['root:x:0:0'])).toBe(1000)
  expect(freeId(['app:x:1000:1000', 'b:x:1001:1'])).toBe(1002)
})
