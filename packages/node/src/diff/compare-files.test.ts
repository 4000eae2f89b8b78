import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { compareFiles, MAX_PATHS } from './compare-files.ts'
import type { FileEntry } from './file-entry.ts'

interface Node {
  kind?: FileEntry['kind']
  signature?: string
  content?: string
  modifiedAt?: number
  /** Default true. */
  isWritten?: boolean
  children?: Record<string, Node>
}

const dir = (children: Record<string, Node>, rest: Node = {}): Node => ({
  kind: 'directory',
  ...rest,
  children,
})
const file = (content: string, rest: Node = {}): Node => ({ kind: 'file', content, ...rest })

/** The files of a checkpoint; `asked` records which were read. */
function files(root: Record<string, Node>, canRead = true) {
  const find = (path: string): Node | undefined =>
    path
      .split('/')
      .filter(Boolean)
      .reduce<Node | undefined>((node, name) => node?.children?.[name], dir(root))
  const asked: string[] = []
  return {
    asked,
    async list(path: string): Promise<FileEntry[] | undefined> {
      asked.push(path)
      const { children } = find(path) ?? {}
      return (
        children &&
        Object.entries(children).map(([name, node]) => ({
          name,
          kind: node.kind ?? 'file',
          signature: node.signature ?? '644:0:0',
          sizeBytes: node.content?.length ?? 0,
          modifiedAt: node.modifiedAt ?? 0,
          isWritten: node.isWritten ?? true,
        }))
      )
    },
    async digest(path: string): Promise<string | undefined> {
      asked.push(`digest ${path}`)
      return canRead ? find(path)?.content : undefined
    },
  }
}

const image = { isWritten: false }

test('files are added, changed by content, mode, kind or target, and deleted', async () => {
  const from = files({
    home: dir({
      same: file('x'),
      text: file('v1'),
      longer: file('1'),
      run: file('x'),
      link: { kind: 'symlink', signature: '777:0:0 a' },
      gone: file('x'),
      kind: file('x'),
    }),
  })
  const to = files({
    home: dir({
      same: file('x', { modifiedAt: 5 }),
      text: file('v2'),
      longer: file('12'),
      run: file('x', { signature: '755:0:0' }),
      link: { kind: 'symlink', signature: '777:0:0 b' },
      kind: dir({ within: file('x') }),
      new: file('x'),
    }),
  })
  expect(await compareFiles(from, to)).toEqual({
    added: ['/home/kind/within', '/home/new'],
    changed: ['/home/kind', '/home/link', '/home/longer', '/home/run', '/home/text'],
    deleted: ['/home/gone'],
  })
  expect(from.asked).not.toContain('digest /home/longer')
})

test('folders that neither checkpoint has written into are not visited', async () => {
  const usr = dir({ bin: dir({ python: file('x', image) }, image) }, image)
  const from = files({ usr, etc: dir({ hosts: file('a', image) }, image) })
  const to = files({ usr, etc: dir({ hosts: file('b') }) })
  expect(await compareFiles(from, to)).toEqual({ added: [], changed: ['/etc/hosts'], deleted: [] })
  expect([...from.asked, ...to.asked].sort()).toEqual([
    '/',
    '/',
    '/etc',
    '/etc',
    'digest /etc/hosts',
    'digest /etc/hosts',
  ])
})

test('a file of the image that was only copied up is unchanged', async () => {
  const from = files({ etc: dir({ hosts: file('a', image) }, image) })
  const to = files({ etc: dir({ hosts: file('a') }) })
  expect(await compareFiles(from, to)).toEqual({ added: [], changed: [], deleted: [] })
})

test('a deleted folder of the image is one path, and one of the sandbox is listed path by path', async () => {
  const from = files({
    doc: dir({ deep: file('x', image) }, image),
    own: dir({ a: file('x'), sub: dir({ b: file('x') }) }),
  })
  expect(await compareFiles(from, files({}))).toEqual({
    added: [],
    changed: [],
    deleted: ['/doc', '/own', '/own/a', '/own/sub', '/own/sub/b'],
  })
})

test('files that are too large to be read are compared by time', async () => {
  const of = (modifiedAt: number) => files({ same: file('aa'), other: file('aa', { modifiedAt }) }, false)
  expect(await compareFiles(of(1), of(2))).toEqual({ added: [], changed: ['/other'], deleted: [] })
})

test('the first of very many paths are listed in order, without a long turn', async () => {
  const names = Array.from({ length: 100_000 }, (_, i) => String((i * 7_919) % 1_000_003).padStart(7, '0'))
  const many = Object.fromEntries(names.map((name) => [name, file('')]))
  const to = files({ many: dir(many) })
  let isDone = false
  let longestMs = 0
  const watch = (async () => {
    for (let before = process.threadCpuUsage(); !isDone; before = process.threadCpuUsage()) {
      await nextTurn()
      const { user, system } = process.threadCpuUsage(before)
      longestMs = Math.max(longestMs, (user + system) / 1000)
    }
  })()
  const listed = (await to.list('/many'))!
  await nextTurn()
  await nextTurn()
  longestMs = 0
  const { added } = await compareFiles(files({}), {
    ...to,
    list: async (path) => (path === '/many' ? listed : to.list(path)),
  })
  isDone = true
  await watch
  expect(added).toHaveLength(MAX_PATHS)
  expect(added.slice(1)).toEqual(
    names
      .map((name) => `/many/${name}`)
      .sort()
      .slice(0, MAX_PATHS - 1),
  )
  expect(longestMs).toBeLessThan(40)
})
