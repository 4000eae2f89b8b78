import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { bucketSecrets } from './bucket-key.ts'

const SECRET = 'a secret of at least thirty-two characters'

let home: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'sandlot-bucket-key-'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

test('without a secret a home creates its own key, which only root can read', () => {
  const [made] = bucketSecrets({ home, checkpointSecret: '' })
  expect(made).toMatch(/^[0-9a-f]{64}$/)
  expect(statSync(join(home, 'bucket.key')).mode & 0o777).toBe(0o600)
  expect(bucketSecrets({ home, checkpointSecret: '' })).toEqual([made])
})

test('a secret that is set later seals new objects, and the key of the home still opens older ones', () => {
  const [made] = bucketSecrets({ home, checkpointSecret: '' })
  expect(bucketSecrets({ home, checkpointSecret: SECRET })).toEqual([SECRET, made])
})

test('with a secret no key is created', () => {
  expect(bucketSecrets({ home, checkpointSecret: SECRET })).toEqual([SECRET])
  expect(() => readFileSync(join(home, 'bucket.key'))).toThrow(/ENOENT/)
})

test('a key that was damaged is not replaced', () => {
  writeFileSync(join(home, 'bucket.key'), 'not a key')
  expect(() => bucketSecrets({ home, checkpointSecret: '' })).toThrow(
    /bucket\.key does not hold 64 hex digits/,
  )
})
