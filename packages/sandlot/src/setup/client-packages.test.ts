import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ensureClientPackages } from './client-packages.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sandlot-clients-'))
  write('package.json', '{"private": true, "workspaces": ["packages/*"]}')
  write('package-lock.json', '{}')
})
afterEach(() => rmSync(root, { recursive: true }))

function write(path: string, content: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), content)
}

/** Writes a package with a build that copies its source and adds a line to `builds`. */
function writePackage(folder: string, details: Record<string, unknown> = {}): void {
  const name = folder === 'sdk' ? 'e2b' : '@e2b/cli'
  const build = `node -e "fs.mkdirSync('dist',{recursive:true});fs.copyFileSync('src/index.js','dist/index.js');fs.appendFileSync('../../builds','${folder} ')"`
  const manifest = { name, version: '1.2.3', files: ['dist'], scripts: { build }, ...details }
  write(`packages/${folder}/package.json`, JSON.stringify(manifest))
  write(`packages/${folder}/src/index.js`, `export const folder = '${folder}'`)
}

const ensure = () => ensureClientPackages(root, join(root, 'cache'), { update() {} })
const contentOf = (archive: string, file: string) =>
  execFileSync('tar', ['-xzOf', archive, `package/${file}`], { encoding: 'utf8' })
const pathOf = (made: Awaited<ReturnType<typeof ensure>>, file: string) =>
  (made[file] as { path: string }).path

test('both packages are built and packed once per content, and the CLI after the SDK, which it contains', async () => {
  writePackage('sdk')
  writePackage('cli', { devDependencies: { e2b: '1.2.3' } })
  const made = await ensure()
  expect(contentOf(pathOf(made, 'e2b.tgz'), 'dist/index.js')).toContain("'sdk'")
  expect(contentOf(pathOf(made, 'e2b-cli.tgz'), 'dist/index.js')).toContain("'cli'")
  expect(readFileSync(join(root, 'builds'), 'utf8')).toBe('sdk sdk cli ')
  expect(await ensure()).toEqual(made)
  write('packages/cli/src/index.test.ts', 'not in the package')
  expect(await ensure()).toEqual(made)
  expect(readFileSync(join(root, 'builds'), 'utf8')).toBe('sdk sdk cli ')
  write('packages/cli/src/index.js', 'export const folder = "changed"')
  const next = await ensure()
  expect(next['e2b.tgz']).toEqual(made['e2b.tgz'])
  expect(contentOf(pathOf(next, 'e2b-cli.tgz'), 'dist/index.js')).toContain('changed')
})

test('a clone without these packages, or with an incomplete one, is reported', async () => {
  writePackage('sdk', { scripts: {} })
  expect(await ensure()).toEqual({
    'e2b.tgz': { missing: 'this clone has no packages/sdk that can be built' },
    'e2b-cli.tgz': { missing: 'this clone has no packages/cli that can be built' },
    'sandlot-mcp.tgz': { missing: 'this clone has no packages/mcp that can be built' },
  })
})

test('a failed build does not stop the set-up and is reported with the output of the builder', async () => {
  writePackage('sdk', { scripts: { build: 'echo "no such type" >&2; exit 3' } })
  expect(await ensure()).toMatchObject({
    'e2b.tgz': { missing: expect.stringMatching(/exit code 3.*no such type/s) },
  })
})

test('a package that depends on another package of this repository is not served', async () => {
  writePackage('sdk')
  writePackage('cli', { dependencies: { e2b: '1.2.3' } })
  expect(await ensure()).toMatchObject({
    'e2b.tgz': { path: expect.any(String) },
    'e2b-cli.tgz': { missing: expect.stringContaining('@e2b/cli depends on e2b') },
  })
})
