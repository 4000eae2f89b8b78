import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FolderStore } from '../objects/folder-store.ts'
import { isFresh, LEASE_MS, renewLease, silenceOf } from './lease.ts'

let dir: string
let store: FolderStore
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-lease-'))
  store = await FolderStore.open(dir)
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test('an instance counts as alive until it has not renewed its lease for five minutes', () => {
  expect([0, LEASE_MS - 1, LEASE_MS, 10 * LEASE_MS].map(isFresh)).toEqual([true, true, false, false])
})

test('an instance without a lease is not alive', async () => {
  await renewLease(store, 'own')
  expect(await silenceOf(store, 'other', 'own')).toBeUndefined()
  expect(isFresh(undefined)).toBe(false)
})

test('the time since a renewal is measured by the clock of the store, even if that is wrong', async () => {
  await renewLease(store, 'other')
  await renewLease(store, 'own')
  const wrong = Date.UTC(2001) / 1000
  await utimes(join(dir, 'instances/other.json'), wrong, wrong)
  await utimes(join(dir, 'instances/own.json'), wrong + 400, wrong + 400)
  expect(await silenceOf(store, 'other', 'own')).toBe(400_000)
})
