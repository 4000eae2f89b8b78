import { Readable } from 'node:stream'
import { pack } from 'tar-stream'
import { expect, test } from 'vitest'
import { diffFileTrees } from './file-diff.ts'
import { type FileTree, readFileTree } from './file-tree.ts'

type Entry = { name: string; type?: string; content?: string; linkname?: string; mode?: number }

function layer(...entries: Entry[]): Promise<FileTree> {
  const tar = pack()
  for (const { name, type = 'file', content = '', linkname, mode = 0o644 } of entries)
    tar.entry(
      { name, type: type as never, linkname, mode, uid: 1000, gid: 1000 },
      type === 'file' ? content : '',
    )
  tar.finalize()
  return readFileTree(Readable.from(tar))
}

const image = new Set([
  '/etc',
  '/etc/hosts',
  '/etc/debian_version',
  '/home',
  '/home/user',
  '/home/user/.bashrc',
])
const diff = (from: FileTree, to: FileTree) => diffFileTrees(from, to, (path) => image.has(path))
const home: Entry[] = [
  { name: './', type: 'directory' },
  { name: './home', type: 'directory' },
  { name: './home/user', type: 'directory' },
]

test('files are added, changed by content, mode or target, and deleted', async () => {
  const from = await layer(
    ...home,
    { name: './home/user/same', content: 'x' },
    { name: './home/user/text', content: 'v1' },
    { name: './home/user/run', content: 'x' },
    { name: './home/user/link', type: 'symlink', linkname: 'same' },
    { name: './home/user/gone', content: 'x' },
  )
  const to = await layer(
    ...home,
    { name: './home/user/same', content: 'x' },
    { name: './home/user/text', content: 'v2' },
    { name: './home/user/run', content: 'x', mode: 0o755 },
    { name: './home/user/link', type: 'symlink', linkname: 'text' },
    { name: './home/user/new', content: 'x' },
  )
  expect(diff(from, to)).toEqual({
    added: ['/home/user/new'],
    changed: ['/home/user/link', '/home/user/run', '/home/user/text'],
    deleted: ['/home/user/gone'],
  })
})

test('a file of the image is changed or deleted, and a directory that only came along is not named', async () => {
  const to = await layer(
    ...home,
    { name: './home/user/.bashrc', type: 'character-device' },
    { name: './etc', type: 'directory' },
    { name: './etc/debian_version', type: 'link', linkname: './home/user/.bashrc' },
    { name: './etc/hosts', content: 'more' },
    { name: './etc/own', content: 'x' },
  )
  expect(diff(await layer(), to)).toEqual({
    added: ['/etc/own'],
    changed: ['/etc/hosts'],
    deleted: ['/etc/debian_version', '/home/user/.bashrc'],
  })
})

test('equal layers differ in nothing', async () => {
  const same = () => layer(...home, { name: './home/user/f', content: 'x' })
  expect(diff(await same(), await same())).toEqual({ added: [], changed: [], deleted: [] })
})

test('a tar that is cut off is an error, not a layer with less in it', async () => {
  const tar = pack()
  tar.entry({ name: 'f' }, 'x'.repeat(5_000))
  tar.finalize()
  const whole = Buffer.concat(await Readable.from(tar).toArray())
  await expect(readFileTree(Readable.from([whole.subarray(0, 2_000)]))).rejects.toThrow()
})
