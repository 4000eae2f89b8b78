import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { packArchive } from './archive.ts'
import { contextFiles, contextIgnoreRules } from './context-files.ts'
import { filesHash } from './files-hash.ts'
import { contextModules } from './modules.ts'

const modules = await contextModules()
let contextDirectory = ''

beforeAll(async () => {
  contextDirectory = await mkdtemp(join(tmpdir(), 'sdk-context-'))
  for (const directory of ['src/sub/empty', 'node_modules/m'])
    await mkdir(join(contextDirectory, directory), { recursive: true })
  for (const file of ['a.txt', '.env', 'src/x.ts', 'src/.hidden.ts', 'src/sub/y.ts', 'node_modules/m/i.js'])
    await writeFile(join(contextDirectory, file), file)
  await symlink('a.txt', join(contextDirectory, 'link'))
  await symlink('../..', join(contextDirectory, 'src/out'))
  await symlink('nowhere', join(contextDirectory, 'broken'))
})

afterAll(() => rm(contextDirectory, { recursive: true }))

async function select(src: string, options: { ignore?: string[]; resolveSymlinks?: boolean } = {}) {
  const ignore = await contextIgnoreRules(modules, contextDirectory, options.ignore ?? [])
  const { resolveSymlinks = false } = options
  return contextFiles(modules, { contextDirectory, src, ignore, resolveSymlinks })
}

const paths = async (...args: Parameters<typeof select>) => (await select(...args)).map(({ path }) => path)

test('a file selects itself, a directory also its content; links are not followed', async () => {
  expect(await paths('./a.txt')).toEqual(['a.txt'])
  expect(await paths('src/')).toEqual([
    'src',
    'src/.hidden.ts',
    'src/out',
    'src/sub',
    'src/sub/empty',
    'src/sub/y.ts',
    'src/x.ts',
  ])
})

test('globs match hidden files, within a directory or at any depth', async () => {
  expect(await paths('src/*.ts')).toEqual(['src/.hidden.ts', 'src/x.ts'])
  expect(await paths('**/*.ts')).toEqual(['src/.hidden.ts', 'src/sub/y.ts', 'src/x.ts'])
  expect(await paths('{a.txt,src/s*}')).toEqual(['a.txt', 'src/sub', 'src/sub/empty', 'src/sub/y.ts'])
  expect(await paths('src/*/')).toEqual(['src/sub', 'src/sub/empty', 'src/sub/y.ts'])
})

test('ignored directories are left out with their content, except for exceptions', async () => {
  expect(await paths('.', { ignore: ['src', 'node_modules', '.*'] })).toEqual(['', 'a.txt', 'broken', 'link'])
  expect(await paths('src', { ignore: ['src', '!src/sub/y.ts'] })).toEqual(['src/sub/y.ts'])
})

test('the .dockerignore of the context directory applies', async () => {
  await writeFile(join(contextDirectory, '.dockerignore'), '# c\nsrc\n.*\n')
  expect(await paths('.', { ignore: ['node_modules'] })).toEqual(['', 'a.txt', 'broken', 'link'])
  await rm(join(contextDirectory, '.dockerignore'))
})

test('resolved links are replaced by their targets', async () => {
  expect((await select('link'))[0]?.stats.isSymbolicLink()).toBe(true)
  expect((await select('link', { resolveSymlinks: true }))[0]?.stats.isFile()).toBe(true)
  await expect(select('broken', { resolveSymlinks: true })).rejects.toThrow(
    'Cannot resolve the symbolic link "broken"',
  )
  await expect(select('src', { resolveSymlinks: true })).rejects.toThrow('"src/out/')
})

test('the error names a path that does not exist or cannot be packed', async () => {
  await expect(select('nope')).rejects.toThrow(`No files found in ${contextDirectory}/nope`)
  await expect(select('nope*')).rejects.toThrow('No files found')
  execFileSync('mkfifo', [join(contextDirectory, 'pipe')])
  await expect(select('pipe')).rejects.toThrow('Cannot copy "pipe"')
  await rm(join(contextDirectory, 'pipe'))
})

test('the hash changes with destination and content, not with the modification time', async () => {
  const hash = async (dest: string) => filesHash(modules, 'a.txt', dest, await select('a.txt'))
  const before = await hash('/x')
  expect(await hash('/y')).not.toBe(before)
  await writeFile(join(contextDirectory, 'a.txt'), 'b.txt')
  expect(await hash('/x')).not.toBe(before)
  await writeFile(join(contextDirectory, 'a.txt'), 'a.txt')
  expect(await hash('/x')).toBe(before)
})

test.each([true, false])(
  'tar unpacks the archive (compressed: %s) to the files that were packed',
  async (gzip) => {
    await writeFile(join(contextDirectory, 'src/x.ts'), Buffer.alloc(300_000, 'x'))
    const archive = await packArchive(modules, await select('.'), gzip)
    const target = await mkdtemp(join(tmpdir(), 'sdk-unpacked-'))
    execFileSync('tar', ['-x', gzip ? '-zf' : '-f', archive.path, '-C', target])
    expect(
      execFileSync('diff', ['-r', '--no-dereference', contextDirectory, target], { encoding: 'utf8' }),
    ).toBe('')
    await archive.remove()
    await expect(modules.fs.promises.stat(archive.path)).rejects.toThrow('ENOENT')
    await rm(target, { recursive: true })
  },
)

test('a file that vanishes while it is packed leaves no archive', async () => {
  await writeFile(join(contextDirectory, 'gone'), 'x')
  const files = await select('gone')
  await rm(join(contextDirectory, 'gone'))
  await expect(packArchive(modules, files, true)).rejects.toThrow('ENOENT')
})
