import { expect, test } from 'vitest'
import { CatalogProgress } from './progress.ts'

test('a caller that asks for a template that is not ready is told why, and what happens next', () => {
  let nowMs = 1_000
  const progress = new CatalogProgress(() => nowMs)
  progress.set('claude', { state: 'building', sinceMs: nowMs })
  progress.set('codex', { state: 'waiting' })
  nowMs += 41_000
  expect(progress.describe('claude')).toContain(
    "'claude' of the catalog is not ready yet: it has been building for 41 s",
  )
  expect(progress.describe('codex')).toContain("waiting for its turn, 'claude' is being built")
  progress.set('claude', { state: 'building', sinceMs: 1_000, step: '[builder 2/3] RUN npm i' })
  expect(progress.describe('claude')).toContain('now [builder 2/3] RUN npm i')
  progress.set('claude', { state: 'failed', reason: 'exit status 1' })
  expect(progress.describe('claude')).toContain('its build failed: exit status 1')
})

test('a caller that asks for a template that was left out or removed is told how to build it', () => {
  const progress = new CatalogProgress(Date.now)
  progress.set('desktop', { state: 'left-out', reason: 'it needs about 4 GB' })
  progress.set('claude', { state: 'removed' })
  expect(progress.describe('desktop')).toContain('was left out: it needs about 4 GB')
  for (const name of ['desktop', 'claude'])
    expect(progress.describe(name)).toContain(`\`sandlot templates build ${name}\``)
})

test('templates that are ready, or not of the catalog, get no explanation', () => {
  const progress = new CatalogProgress(Date.now)
  progress.set('claude', { state: 'waiting' })
  progress.ready('claude')
  expect(progress.describe('claude')).toBeUndefined()
  expect(progress.describe('mine')).toBeUndefined()
})

test('the remaining work counts waiting and running builds, less the time that running builds have taken', () => {
  const progress = new CatalogProgress(() => 60_000)
  const estimate = { seconds: 100, megabytes: 1000 }
  progress.set('a', { state: 'ready' }, estimate)
  progress.set('b', { state: 'building', sinceMs: 0 }, estimate)
  progress.set('c', { state: 'waiting' }, estimate)
  progress.set('d', { state: 'left-out', reason: 'x' }, estimate)
  expect(progress.report()).toMatchObject({ readyCount: 1, left: { seconds: 140, megabytes: 2000 } })
})
