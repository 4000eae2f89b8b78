import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildCli, detached, e2b } from './command.ts'

const run = promisify(execFile)
const here = mkdtempSync(join(tmpdir(), 'e2b-cp-'))
let id: string
let remove: () => Promise<void>

beforeAll(async () => {
  await buildCli()
  ;({ id, remove } = await detached(['--timeout', '600']))
  mkdirSync(join(here, 'site', 'empty'), { recursive: true })
  writeFileSync(join(here, 'site', 'big.bin'), randomBytes(20 * 1024 * 1024))
  writeFileSync(join(here, 'site', 'grüße 世界.txt'), 'hello')
  writeFileSync(join(here, 'site', 'run.sh'), '#!/bin/sh\necho ran\n')
  chmodSync(join(here, 'site', 'run.sh'), 0o755)
  symlinkSync('run.sh', join(here, 'site', 'link'))
})
afterAll(async () => {
  await remove()
  rmSync(here, { recursive: true })
})

const cp = (...args: string[]) => e2b(['sandbox', 'cp', ...args], { cwd: here })
const inside = async (line: string): Promise<string> => (await e2b(['sandbox', 'exec', id, line])).stdout

it('copies a directory there and back with its links, permissions and bytes', async () => {
  expect(await cp('site', `${id}:/home/user/`)).toEqual({
    code: 0,
    stdout: '',
    stderr: `site → ${id}:/home/user/site\n`,
  })
  expect(await inside('cd site; ./link; readlink link; stat -c "%U %a" run.sh; ls -d empty')).toBe(
    'ran\nrun.sh\nuser 755\nempty\n',
  )
  expect((await cp(`${id}:site`, 'back')).code).toBe(0)
  await run('diff', ['-r', '--no-dereference', join(here, 'site'), join(here, 'back')])
  expect(readlinkSync(join(here, 'back', 'link'))).toBe('run.sh')
  expect(statSync(join(here, 'back', 'run.sh')).mode & 0o777).toBe(0o755)
})

it('copies a file to a name and into a directory, and keeps it executable', async () => {
  await cp('site/run.sh', `${id}:made/by/cp.sh`)
  expect(await inside('made/by/cp.sh')).toBe('ran\n')
  await cp('site/run.sh', `${id}:/tmp`)
  expect(await inside('stat -c %a /tmp/run.sh')).toBe('755\n')
  await cp(`${id}:/etc/hostname`, '.')
  expect(readFileSync(join(here, 'hostname'), 'utf8')).toBe(await inside('cat /etc/hostname'))
})

it('copies the contents of a directory when its name ends with /.', async () => {
  await inside('mkdir -p flat')
  await cp('site/.', `${id}:flat`)
  expect(await inside('ls flat')).toContain('run.sh')
})

it('copies as another user', async () => {
  await cp('-u', 'root', 'site/run.sh', `${id}:/root/run.sh`)
  expect(await inside('sudo stat -c %U /root/run.sh')).toBe('root\n')
})

it('leaves no archive behind', async () => {
  expect(await inside('ls -a /tmp | grep e2b-cp || echo none')).toBe('none\n')
})

it.each([
  ['a missing local file', ['nope', 'ID:x'], /^There is no .*\/nope\.\n$/],
  ['a missing file in the sandbox', ['ID:/nope', '.'], /^There is no \/nope in sandbox/],
  ['a directory onto a file', ['site', 'ID:/etc/hostname'], /^\/etc\/hostname is a file/],
  ['a directory onto a local file', ['ID:/etc', 'site/run.sh'], /run\.sh is a file/],
])('refuses %s and changes nothing', async (_, args, message) => {
  const { code, stderr } = await cp(...args.map((arg) => arg.replace('ID', id)))
  expect(code).toBe(1)
  expect(stderr).toMatch(message)
})

it('keeps the old file when a download breaks off', async () => {
  const other = await detached()
  await e2b(['sandbox', 'exec', other.id, 'truncate -s 3G big'])
  writeFileSync(join(here, 'precious'), 'old')
  const copying = cp(`${other.id}:big`, 'precious')
  await expect
    .poll(() => readdirSync(here).filter((name) => name.endsWith('.part')).length, { timeout: 30_000 })
    .toBe(1)
  await other.remove()
  const { code } = await copying
  expect(code).not.toBe(0)
  expect(readFileSync(join(here, 'precious'), 'utf8')).toBe('old')
  expect(readdirSync(here).join()).not.toContain('.part')
})
