import { expect, test } from 'vitest'
import { SharedRuns } from './shared-runs.ts'

test('concurrent callers with one key share a run, and a later caller starts a new one', async () => {
  const runs = new SharedRuns<number>()
  let started = 0
  const work = async () => ++started
  expect(await Promise.all([runs.run('a', work), runs.run('a', work), runs.run('b', work)])).toEqual([
    1, 1, 2,
  ])
  expect(await runs.run('a', work)).toBe(3)
})

test('a failed run is not remembered', async () => {
  const runs = new SharedRuns<string>()
  await expect(runs.run('a', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
  expect(await runs.run('a', async () => 'fine')).toBe('fine')
})
