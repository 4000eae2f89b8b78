import { randomBytes } from 'node:crypto'
import { beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { keyIdOf } from './key-source.ts'
import { needsOtherKey, reencryptSecrets } from './reencrypt.ts'

const under = serverUnderTest()
let t: ServerUnderTest
let former: Uint8Array
const fresh = randomBytes(32)
beforeEach(async () => {
  t = under.current
  for (const name of ['a', 'b']) await t.call('POST', '/secrets', { name, value: `value of ${name}` })
  await t.call('GET', '/.well-known/jwks.json')
  former = t.secretsKeys.keys[0]!
})

const valueFor = async (name: string) => {
  const { id } = await t.inStore((store) => store.selectFrom('teams').select('id').executeTakeFirstOrThrow())
  return t.server.credentials.secret(id, name)
}

test('afterwards the new key opens everything, and the former one nothing', async () => {
  expect(await t.inStore((store) => needsOtherKey(store, [fresh]))).toBe(true)
  expect(await t.inStore((store) => reencryptSecrets(store, [fresh, former]))).toEqual({
    secrets: 2,
    identityKeys: 1,
  })
  expect(await t.inStore((store) => needsOtherKey(store, [fresh]))).toBe(false)
  await t.crash()
  await expect(valueFor('a')).rejects.toMatchObject({ errorName: 'secrets_unavailable' })
  t.secretsKeys.keys = [fresh]
  await t.crash()
  expect([await valueFor('a'), await valueFor('b')]).toEqual(['value of a', 'value of b'])
  expect(await t.inStore((store) => reencryptSecrets(store, [fresh]))).toEqual({
    secrets: 0,
    identityKeys: 0,
  })
})

test('before it, a server with both keys opens old values and seals new ones with the new key', async () => {
  t.secretsKeys.keys = [fresh, former]
  await t.crash()
  expect(await valueFor('a')).toBe('value of a')
  await t.call('POST', '/secrets/b', { value: 'newer' })
  const rows = await t.inStore((store) =>
    store.selectFrom('secrets').select('key_id').orderBy('name').execute(),
  )
  expect(rows.map(({ key_id }) => key_id)).toEqual([keyIdOf(former), keyIdOf(fresh)])
  await t.inStore((store) => reencryptSecrets(store, [fresh, former]))
  t.secretsKeys.keys = [fresh]
  await t.crash()
  expect([await valueFor('a'), await valueFor('b')]).toEqual(['value of a', 'newer'])
})

test('a value that cannot be decrypted is named, and nothing is changed', async () => {
  await t.inStore((store) =>
    store.updateTable('secrets').set({ version: 5 }).where('name', '=', 'b').execute(),
  )
  await expect(t.inStore((store) => reencryptSecrets(store, [fresh, former]))).rejects.toThrow(
    /secret 'b' \(sec_\w+\) cannot be decrypted: its row in the database was changed/,
  )
  expect(await valueFor('a')).toBe('value of a')
  await expect(t.inStore((store) => reencryptSecrets(store, [fresh]))).rejects.toThrow(
    /encrypted with another key/,
  )
})
