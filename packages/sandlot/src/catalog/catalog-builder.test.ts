import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CatalogProgress } from '@sandlot/server/catalog/progress'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CatalogBuilder } from './catalog-builder.ts'
import { CatalogEstimates } from './estimates.ts'
import { RemovedTemplates } from './removed-templates.ts'

/** Speaks as templates/build.ts does; nothing is there yet, and a build of `desktop` never ends. */
const SCRIPT = `
import { createInterface } from 'node:readline'
const say = (line) => process.stdout.write(JSON.stringify(line) + '\\n')
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const names = process.argv.slice(2)
// as a library of a template may
console.log('{ not ours')
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

/** As a server does that starts on this home. */
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

test('what is missing is built one after the other, and what it took is known the next time', async () => {
  await start('claude', 'codex')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'ready', codex: 'ready' })
  await expect.poll(() => new CatalogEstimates(dir).of('codex')).toEqual({ seconds: 7, megabytes: 345 })
})

test('what does not fit above the floor is left out, and built when it is asked for', async () => {
  roomBytes = 10 * MB
  estimates.measured('claude', 60, 500 * MB)
  await start('claude')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'left-out' })
  expect(progress.describe('claude')).toMatch(
    /needs about 1.1 GB, and the disk has 10 MB more .*catalogFloorMB/,
  )
  builder.build('claude')
  expect(() => builder.build('claude')).toThrow('on its way')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'ready' })
})

test('what was removed is not built by later starts, until it is asked for', async () => {
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

test('one that is removed while it is built is ended, and the others go on', async () => {
  await start('claude', 'desktop', 'codex')
  await expect
    .poll(states, { timeout: 15_000 })
    .toEqual({ claude: 'ready', desktop: 'building', codex: 'waiting' })
  builder.remove('desktop')
  await expect
    .poll(states, { timeout: 15_000 })
    .toEqual({ claude: 'ready', desktop: 'removed', codex: 'ready' })
})

test('a process that breaks off leaves nothing waiting for ever', async () => {
  writeFileSync(join(dir, 'script.mjs'), 'throw new Error("no registry")')
  await start('claude')
  await expect.poll(states, { timeout: 15_000 }).toEqual({ claude: 'failed' })
  expect(progress.describe('claude')).toContain('no registry')
})

test('names that the catalogue does not have are refused with the nearest', () => {
  expect(() => builder.build('claud')).toThrow("did you mean 'claude'?")
  expect(() => builder.remove('../x')).toThrow('which the catalogue does not have')
})
