import { expect, test } from 'vitest'
import { CatalogProgress } from './catalog-progress.ts'

test('who asks for a template that is not ready is told why, and what is done about it', () => {
  let nowMs = 1_000
  const progress = new CatalogProgress(() => nowMs)
  progress.set('claude', { state: 'building', sinceMs: nowMs })
  progress.set('codex', { state: 'waiting' })
  nowMs += 41_000
  expect(progress.describe('claude')).toContain(
    "'claude' of the catalogue is not ready yet: it has been building for 41 s",
  )
  expect(progress.describe('codex')).toContain("waiting for its turn, 'claude' is being built")
  progress.set('claude', { state: 'building', sinceMs: 1_000, step: '[builder 2/3] RUN npm i' })
  expect(progress.describe('claude')).toContain('now [builder 2/3] RUN npm i')
  progress.set('claude', { state: 'failed', reason: 'exit status 1' })
  expect(progress.describe('claude')).toContain('its build failed: exit status 1')
})

test('nothing is said of what is ready, or was never planned', () => {
  const progress = new CatalogProgress(Date.now)
  progress.set('claude', { state: 'waiting' })
  progress.ready('claude')
  expect(progress.describe('claude')).toBeUndefined()
  expect(progress.describe('mine')).toBeUndefined()
})
