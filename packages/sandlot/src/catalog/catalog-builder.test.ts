import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CatalogProgress } from '@sandlot/server/catalog/progress'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CatalogBuilder } from './catalog-builder.ts'
import { CatalogEstimates } from './estimates.ts'
import { RemovedTemplates } from './removed-templates.ts'

/**
 * Script that writes the same lines as templates/build.ts: no template exists yet, and a build of `desktop` never ends.
 */
const SCRIPT = `
import { createInterface } from 'node:readline'
const say = (line) => process.stdout.write(JSON.stringify(line) + '\\n')
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const names = process.argv.slice(2)
// a line that a library of a template may write
console.log('{ of a library')
for (const name of names) say({ name, state: 'missing' })
say({ state: 'planned' })
for (const name of names) {
  say({ name, state: 'next' })
  if ((await answers.next()).value !== 'build') continue
  say({ name, state: 'building' })
  if (name === 'desktop') await new Promise((resolve) => setTimeout(resolve, 60_000))
  say({ name, state: 'ready', seconds: 7, wasThere: false, isWhole: true })
}
process.stdin.destroy()
`
const MB = 2 ** 20
let dir: string
let progress: CatalogProgress
let estimates: CatalogEstimates
let builder: CatalogBuilder
let roomBytes: number
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-catalog-'))
  writeFileSync(join(dir, 'script.mjs'), SCRIPT)
  roomBytes = 100_000 * MB
  open()
})
afterEach(() => {
  builder.close()
  rmSync(dir, { recursive: true })
})

/** Opens the catalog like a server that starts on this home. */
function open(): void {
  progress = new CatalogProgress(Date.now)
  estimates = new CatalogEstimates(dir)
  builder = new CatalogBuilder({
    estimates,
    removed: new RemovedTemplates(dir),
    roomBytes: () => roomBytes,
    sizeBytes: async () => 300 * MB,
    logger: pino({ level: 'silent' }),
    script: join(dir, 'script.mjs'),
  })
}
const start = (...names: string[]) => builder.open({ env: {}, progress }, names)
const states = () => Object.fromEntries(progress.report().templates.map(({ name, state }) => [name, state]))

test('missing templates are built one after the other, and their time and size are known at the next start', async () => {
  await start('claude', 'codex')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'ready', codex: 'ready' })
  await expect.poll(() => new CatalogEstimates(dir).of('codex')).toEqual({ seconds: 7, megabytes: 345 })
})

test('a template that does not fit above the floor is left out, and built on request', async () => {
  roomBytes = 10 * MB
  estimates.measured('claude', 60, 500 * MB)
  await start('claude')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'left-out' })
  expect(progress.describe('claude')).toMatch(
    /needs about 1.1 GB, and the disk has 10 MB above .*catalogFloorMB/,
  )
  builder.build('claude')
  expect(() => builder.build('claude')).toThrow('already being built')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'ready' })
})

test('a removed template is not built by later starts, only on request', async () => {
  await start('claude', 'codex')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'ready', codex: 'ready' })
  builder.remove('claude')
  expect(states()).toMatchObject({ claude: 'removed' })
  builder.close()
  open()
  await start('claude', 'codex')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'removed', codex: 'ready' })
  builder.build('claude')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'ready', codex: 'ready' })
  builder.close()
  open()
  await start('claude')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'ready' })
})

test('removing a template cancels its build, and the other builds continue', async () => {
  await start('claude', 'desktop', 'codex')
  await expect
    .poll(states, { timeout: 15_000 })
    .toEqual({ claude: 'ready', desktop: 'building', codex: 'waiting' })
  builder.remove('desktop')
  await expect
    .poll(states, { timeout: 15_000 })
    .toEqual({ claude: 'ready', desktop: 'removed', codex: 'ready' })
})

test('no template waits forever when the build process crashes', async () => {
  writeFileSync(join(dir, 'script.mjs'), 'throw new Error("no registry")')
  await start('claude')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'failed' })
  expect(progress.describe('claude')).toContain('no registry')
})

test('unknown names are refused with the nearest known one', () => {
  expect(() => builder.build('claud')).toThrow("did you mean 'claude'?")
  expect(() => builder.remove('../x')).toThrow('which the catalogue does not have')
})
