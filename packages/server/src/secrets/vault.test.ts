import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openStore, type Store } from '../store/open-store.ts'
import { newTestDatabase, type TestDatabase } from '../test-support/database.ts'
import { KeysInMemory } from '../test-support/secrets-keys.ts'
import type { SecretsKeySource } from './key-source.ts'
import { Vault } from './vault.ts'

const VALUE = Buffer.from('value')
const CONTEXT = ['a', 'b']

let directory: string
let database: TestDatabase
let store: Store
let logged: string[]
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'sandlot-vault-'))
  database = await newTestDatabase(directory)
  store = await openStore(database.url)
  logged = []
})
afterEach(async () => {
  await store.destroy()
  await database.remove()
  rmSync(directory, { recursive: true })
})

const open = (source: SecretsKeySource) =>
  Vault.open(store, source, pino({ base: null }, { write: (line) => void logged.push(line) }))

/** A secret, so that its key counts as needed. */
const insertSecret = async () => {
  const team = { id: 't', name: 't', slug: 't', plan: 'unlimited', created_at: 1 }
  await store.insertInto('teams').values(team).execute()
  const times = { created_at: 1, updated_at: 1 }
  const row = {
    id: 's',
    team_id: 't',
    name: 'n',
    version: 1,
    metadata: '{}',
    key_id: 'k',
    value: 'v',
    ...times,
  }
  await store.insertInto('secrets').values(row).execute()
}

test('a value is opened by another process with the same key', async () => {
  const keys = new KeysInMemory()
  const sealed = await (await open(keys)).seal(VALUE, CONTEXT)
  expect((await open(keys)).open(sealed, CONTEXT)).toEqual(VALUE)
  expect(logged).toEqual([])
})

test('a wrong and a missing key are logged at the start with what to do', async () => {
  const sealed = await (await open(new KeysInMemory())).seal(VALUE, CONTEXT)
  await insertSecret()
  for (const [source, message] of [
    [new KeysInMemory(randomBytes(32)), /the key in the memory of this test is not the one/],
    [new KeysInMemory(), /the key that secrets are encrypted with is missing: restore it as the memory/],
  ] as const) {
    logged = []
    const vault = await open(source)
    expect(logged).toHaveLength(1)
    expect(JSON.parse(logged[0]!)).toMatchObject({ level: 50, msg: expect.stringMatching(message) })
    expect(() => vault.open(sealed, CONTEXT)).toThrow(/the administrator of this server must restore the key/)
    await expect(vault.seal(VALUE, CONTEXT)).rejects.toMatchObject({ errorName: 'secrets_unavailable' })
  }
})

test('a key that cannot be read is logged, and the vault is closed instead of the server', async () => {
  const refuse = (): never => {
    throw new SandlotError('secrets_unavailable', 'secrets.key has mode 644')
  }
  const vault = await open({ place: 'secrets.key', read: refuse, make: refuse })
  expect(logged[0]).toContain('secrets.key has mode 644')
  await expect(vault.seal(VALUE, CONTEXT)).rejects.toMatchObject({ errorName: 'secrets_unavailable' })
})

test('two processes that make the first key at once: the one that loses says so', async () => {
  const [first, second] = [await open(new KeysInMemory()), await open(new KeysInMemory())]
  const sealed = await first.seal(VALUE, CONTEXT)
  await expect(second.seal(VALUE, CONTEXT)).rejects.toMatchObject({ errorName: 'secrets_unavailable' })
  expect(first.open(sealed, CONTEXT)).toEqual(VALUE)
})
