import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore, takeLease } from '@sandlot/server'
import { isOnPostgres, newTestDatabase, type TestDatabase } from '@sandlot/server/test-support/database'
import { ServerUnderTest } from '@sandlot/server/test-support/server-under-test'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { rotateSecretsKey } from './rotate-secrets-key.ts'
import { SecretsKeys } from './secrets-keys.ts'
import { becomeServer } from './server-lock.ts'

const NAMES = ['a', 'b', 'c']

let home: string
let database: TestDatabase
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'sandlot-rotate-'))
  database = await newTestDatabase(home)
  becomeServer(home, { listen: '', domain: '' }).release()
  await withServer(async (server) => {
    for (const name of NAMES) await server.call('POST', '/secrets', { name, value: `value of ${name}` })
    await server.call('GET', '/.well-known/jwks.json')
  })
})
afterEach(async () => {
  await database.remove()
  rmSync(home, { recursive: true, force: true })
})

const keysIn = (secretsKey = '') => new SecretsKeys({ home, secretsKey })
const rotate = (secretsKey = '', afterStep?: () => void) =>
  rotateSecretsKey({ home, store: isOnPostgres ? database.url : 'sqlite', secretsKey }, afterStep)
const keyFile = () => readFileSync(join(home, 'secrets.key'), 'utf8')

async function withServer<T>(
  work: (server: ServerUnderTest) => Promise<T>,
  keys: SecretsKeys = keysIn(),
): Promise<T> {
  const server = new ServerUnderTest(home, { secretsKeys: keys })
  server.database = { ...database, remove: async () => {} }
  await server.open()
  try {
    return await work(server)
  } finally {
    await server.close()
  }
}

/** Starts a server, which must be able to read every secret and to store another one. */
const expectUsable = (secretsKey = '') =>
  withServer(async (server) => {
    const { id } = await server.inStore((store) =>
      store.selectFrom('teams').select('id').executeTakeFirstOrThrow(),
    )
    for (const name of NAMES)
      expect(await server.server.credentials.secret(id, name)).toBe(`value of ${name}`)
    const more = await server.call('POST', '/secrets', { name: 'more', value: 'x' })
    expect(more.status).toBe(201)
    expect((await server.call('DELETE', '/secrets/more')).status).toBe(204)
  }, keysIn(secretsKey))

describe('a rotation of the key in the file', () => {
  test('encrypts everything with a new key, and keeps only that', async () => {
    const former = keyFile()
    expect(await rotate()).toEqual({
      secrets: 3,
      identityKeys: 1,
      wasInterrupted: false,
      path: join(home, 'secrets.key'),
    })
    expect(keyFile()).toMatch(/^[0-9a-f]{64}\n$/)
    expect(keyFile()).not.toBe(former)
    await expectUsable()
  })

  test.each([1, 2, 3])(
    'that is interrupted after step %i leaves everything usable, and can be completed',
    async (last) => {
      let steps = 0
      const stop = () => {
        if (++steps === last) throw new Error('interrupted')
      }
      await expect(rotate('', stop)).rejects.toThrow('interrupted')
      await expectUsable()
      const { wasInterrupted } = await rotate()
      expect(wasInterrupted).toBe(last < 3)
      expect(keyFile()).toMatch(/^[0-9a-f]{64}\n$/)
      await expectUsable()
    },
  )

  test('is refused while a server runs, and with a wrong key, and then changes nothing', async () => {
    const former = keyFile()
    const lock = becomeServer(home, { listen: '127.0.0.1:3000', domain: 'x' })
    await expect(rotate()).rejects.toThrow(/runs \(pid \d+\) with the present key: stop it first/)
    lock.release()
    keysIn().replaceFile([randomBytes(32)])
    const wrong = keyFile()
    await expect(rotate()).rejects.toThrow(
      `the secrets in the database are encrypted with another key than that in ${join(home, 'secrets.key')}`,
    )
    expect(keyFile()).toBe(wrong)
    keysIn().replaceFile([Buffer.from(former.trim(), 'hex')])
    await expectUsable()
  })

  test.runIf(isOnPostgres)('is refused while a server of another home uses the database', async () => {
    const former = keyFile()
    const store = await openStore(database.url)
    const lease = await takeLease(store, { about: 'the other', onWaiting: () => {}, onLost: () => {} })
    await expect(rotate()).rejects.toThrow('the other is the active server of the PostgreSQL database')
    expect(keyFile()).toBe(former)
    await lease.release()
    await store.destroy()
    expect(await rotate()).toMatchObject({ secrets: 3 })
    await expectUsable()
  })

  test('is refused for a folder without an instance, which it does not make', async () => {
    const other = join(home, 'other')
    await expect(rotateSecretsKey({ home: other, store: 'sqlite', secretsKey: '' })).rejects.toThrow(
      `no server was ever started on ${other}`,
    )
    expect(() => readFileSync(join(other, 'db.sqlite'))).toThrow(/ENOENT/)
  })
})

describe('a rotation of the key in the setting', () => {
  test('encrypts everything with the first of two keys', async () => {
    const [present] = keyFile().split('\n')
    rmSync(join(home, 'secrets.key'))
    const fresh = randomBytes(32).toString('hex')
    await expect(rotate(present)).rejects.toThrow(/set that to the new key, a comma and the present key/)
    expect(await rotate(`${fresh},${present}`)).toMatchObject({ secrets: 3, path: undefined })
    await expectUsable(fresh)
  })

  test('also moves the key from the file to the setting', async () => {
    const fresh = randomBytes(32).toString('hex')
    await rotate(fresh)
    rmSync(join(home, 'secrets.key'))
    await expectUsable(fresh)
  })
})
