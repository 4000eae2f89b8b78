import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { installProject } from './project.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'mcp-gateway-project-'))
  const source = join(root, 'origin/owner/repo')
  mkdirSync(source, { recursive: true })
  writeFileSync(join(source, 'server.js'), '')
  const git = (...args: string[]) => execFileSync('git', args, { cwd: source })
  git('init', '--quiet')
  git('add', '.')
  git('-c', 'user.name=a', '-c', 'user.email=a@b.c', 'commit', '--quiet', '-m', 'first')
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const install = (installCommand?: string) =>
  installProject(
    {
      kind: 'github',
      key: 'github/owner/repo',
      owner: 'owner',
      repository: 'repo',
      runCommand: 'node server.js',
      environment: { GREETING: 'hello' },
      ...(installCommand !== undefined && { installCommand }),
    },
    { uid: process.getuid!(), gid: process.getgid!(), name: 'tester', home: join(root, 'home') },
    { origin: `file://${root}/origin` },
  )

test('clones a project once, and installs it in its folder with its variables', async () => {
  const folder = await install('echo "$GREETING" >> installed')
  expect(folder).toBe(join(root, 'home/.mcp/owner/repo'))
  expect(existsSync(join(folder, 'server.js'))).toBe(true)
  await install('echo "$GREETING" >> installed')
  expect(readFileSync(join(folder, 'installed'), 'utf8')).toBe('hello\n')
})

test('an installation that fails says why, and is tried again', async () => {
  await expect(install('echo no compiler >&2; exit 3')).rejects.toThrow(/ended with exit code 3: no compiler/)
  expect(await install('true')).toBe(join(root, 'home/.mcp/owner/repo'))
})

test('a project that cannot be cloned says why', async () => {
  rmSync(join(root, 'origin'), { recursive: true })
  await expect(install()).rejects.toThrow(/git clone .* ended with exit code 128/)
})
