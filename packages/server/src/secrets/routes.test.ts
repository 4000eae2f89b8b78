import { randomBytes } from 'node:crypto'
import { sql } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import { isOnPostgres } from '../test-support/database.ts'
import { type Method, type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const VALUE = 'sk-very-secret-value'
const create = (name: string, more: object = {}) =>
  t.call('POST', '/secrets', { name, value: VALUE, ...more })
const teamId = async () =>
  (await t.inStore((store) => store.selectFrom('teams').select('id').executeTakeFirstOrThrow())).id
const valueFor = async (name: string) => t.server.credentials.secret(await teamId(), name)

describe('a secret', () => {
  test('is stored, described without its value, updated and deleted', async () => {
    const created = await create('OpenAI_Key', { metadata: { owner: 'ann' } })
    expect(created.status).toBe(201)
    expect(created.body).toEqual({
      secretID: expect.stringMatching(/^sec_[a-z0-9]{20}$/),
      name: 'openai_key',
      currentVersion: 1,
      metadata: { owner: 'ann' },
      createdAt: new Date(t.now).toISOString(),
      updatedAt: new Date(t.now).toISOString(),
    })
    const { secretID } = created.body
    for (const reference of [secretID, 'openai_key', 'OPENAI_KEY'])
      expect((await t.call('GET', `/secrets/${reference}`)).body).toEqual(created.body)
    t.now += 1000
    const updated = await t.call('POST', '/secrets/OpenAI_Key', { value: 'second' })
    expect(updated.status).toBe(200)
    expect(updated.body).toEqual({
      ...created.body,
      currentVersion: 2,
      updatedAt: new Date(t.now).toISOString(),
    })
    const relabelled = await t.call('POST', `/secrets/${secretID}`, { value: 'third', metadata: {} })
    expect(relabelled.body).toMatchObject({ currentVersion: 3, metadata: {} })
    expect((await t.call('DELETE', `/secrets/${secretID}`)).status).toBe(204)
    for (const [method, body] of [['GET'], ['DELETE'], ['POST', { value: 'x' }]] as const)
      expect((await t.call(method, `/secrets/${secretID}`, body)).body).toMatchObject({
        code: 404,
        message: `secret '${secretID}' does not exist in this team`,
      })
  })

  test('is never stored or answered in clear text, and no answer may be cached', async () => {
    const answers = [
      await create('a', { metadata: { label: 'shown' } }),
      await create('a'),
      await create('sec_b'),
      await t.call('POST', '/secrets', { name: 'n', value: [VALUE] }),
      await t.call('POST', '/secrets', [VALUE]),
      await t.call('POST', '/secrets', { name: 'n', value: `${VALUE}${'x'.repeat(70_000)}` }),
      await t.call('POST', '/secrets/a', { value: VALUE }),
      await t.call('GET', '/secrets/a'),
      await t.call('GET', '/secrets'),
      await t.call('GET', '/secrets', undefined, {}),
      await t.call('GET', '/secrets/none'),
      await t.call('DELETE', '/secrets/none'),
      await create('too-long', { value: 'x'.repeat(600_000) }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([
      ...[201, 409, 400, 400, 400, 400, 200, 200, 200, 401, 404, 404, 413],
    ])
    expect(answers.at(-1)!.body.message).toBe('the request body is larger than 512 KiB')
    for (const { headers, body } of answers) {
      expect(headers['cache-control']).toBe('no-store')
      expect(JSON.stringify(body ?? null)).not.toContain(VALUE)
    }
    const rows = await t.inStore((store) => store.selectFrom('secrets').selectAll().execute())
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows)).not.toContain(VALUE)
    expect(Buffer.from(rows[0]!.value, 'base64').toString('latin1')).not.toContain(VALUE)
  })

  test('has a name of its own in the team', async () => {
    await create('taken')
    expect((await create('TAKEN')).body).toEqual({
      code: 409,
      message: "a secret named 'taken' exists already in this team: update it, or choose another name",
      error_code: 'conflict',
    })
  })

  test('is unknown to other teams', async () => {
    const { body } = await create('ours')
    await t.inStore(async (store) => {
      await store
        .insertInto('teams')
        .values({ id: 'another', name: 'another', slug: 'another', plan: 'unlimited', created_at: 1 })
        .execute()
      await store.updateTable('api_keys').set({ team_id: 'another' }).execute()
    })
    t.now += 10_000
    expect((await t.call('GET', '/secrets')).body).toEqual([])
    for (const reference of [body.secretID, 'ours'])
      for (const method of ['GET', 'POST', 'DELETE'] as Method[]) {
        const answer = await t.call(
          method,
          `/secrets/${reference}`,
          method === 'POST' ? { value: 'theirs' } : undefined,
        )
        expect([method, answer.status]).toEqual([method, 404])
      }
    expect((await create('ours')).status).toBe(201)
    expect(await t.server.credentials.secret('another', 'ours')).toBe(VALUE)
  })
})

describe('what a secret may be', () => {
  test.each([
    ['an empty name', { name: '' }, /name is empty: a secret needs 1 to 128/],
    ['a name of 129 characters', { name: 'a'.repeat(129) }, /name has 129 characters, at most 128/],
    ['a name with a space', { name: 'with space' }, /name 'with space' has other characters/],
    ['a name with an umlaut', { name: 'ümlaut' }, /has other characters/],
    ['a name like an id', { name: 'SEC_x' }, /name 'SEC_x' begins with 'sec_', which is reserved/],
    ['an empty value', { value: '' }, /value is empty/],
    [
      'a value of more than 64 KiB in UTF-8',
      { value: 'é'.repeat(32_769) },
      /value has 65538 bytes, at most 65536 \(64 KiB\)/,
    ],
    ['a value with a line break', { value: 'key\n' }, /value has a line break .*\(U\+000A\) as character 4/],
    ['a value that is not Unicode', { value: 'a\ud800' }, /half of a surrogate pair/],
    ['a value that is a number', { value: 5 }, /value must be string, but it is number \(not shown\)/],
    [
      'metadata with a long value',
      { metadata: { k: 'v'.repeat(1025) } },
      /metadata has 1025 characters at key 'k', at most 1024/,
    ],
    [
      'metadata with 33 keys',
      { metadata: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`k${i}`, ''])) },
      /metadata has 33 keys, at most 32/,
    ],
    [
      'metadata of more than 8192 bytes',
      { metadata: Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`k${i}`, 'v'.repeat(1000)])) },
      /metadata has 9018 bytes of keys and values, at most 8192/,
    ],
    ['metadata with a number', { metadata: { k: 1 } }, /metadata.k must be string/],
  ])('%s is refused', async (_, fields, message) => {
    const { status, body } = await create('fine', fields)
    expect(body.message).toMatch(message)
    expect(status).toBe(400)
  })

  test('the longest name, value and metadata are accepted', async () => {
    const value = 'é'.repeat(32_768)
    const metadata = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`key${i}`, 'v'.repeat(1020)]))
    expect((await create('n'.repeat(128), { value, metadata })).status).toBe(201)
    expect(await valueFor('n'.repeat(128))).toBe(value)
  })

  test('a reference that no secret can have is just not found', async () => {
    for (const reference of ['%00', 'a%20b', '%F0%9F%98%80', 'sec_', "'", 'a'.repeat(256)])
      expect([reference, (await t.call('GET', `/secrets/${reference}`)).status]).toEqual([reference, 404])
  })
})

describe('a team with many secrets', () => {
  test('may have 50, however they are created, and no two with one name', async () => {
    await Promise.all(Array.from({ length: 40 }, (_, i) => create(`key-${i}`)))
    const burst = await Promise.all(
      Array.from({ length: 30 }, (_, i) => create(`burst-${Math.floor(i / 2)}`)),
    )
    const statuses = Map.groupBy(burst, ({ status }) => status)
    expect(statuses.get(201)).toHaveLength(10)
    expect(statuses.get(409)).toHaveLength(20)
    const names = (await t.call('GET', '/secrets')).body.map(({ name }: { name: string }) => name)
    expect(names).toHaveLength(50)
    expect(new Set(names).size).toBe(50)
    expect((await create('one-more')).body).toEqual({
      code: 409,
      message: "team 'default' has 50 secrets, at most 50 live secrets are allowed: delete some",
      error_code: 'secret_limit_reached',
    })
    expect((await t.call('POST', '/secrets/key-1', { value: 'new' })).status).toBe(200)
    await t.call('DELETE', '/secrets/key-1')
    expect((await create('one-more')).status).toBe(201)
  })

  // two servers in one process would wait for each other's lock of a SQLite file
  test.runIf(isOnPostgres)('may have 50 and no two with one name when two servers create them', async () => {
    const servers = [t.server]
    await t.crash()
    servers.push(t.server)
    const answers = await Promise.all(
      Array.from({ length: 120 }, async (_, i) => {
        const { statusCode } = await servers[i % 2]!.fastify.inject({
          method: 'POST',
          url: '/secrets',
          headers: { 'x-api-key': t.key },
          payload: { name: `key-${Math.floor(i / 2)}`, value: VALUE },
        })
        return statusCode
      }),
    )
    const names = (await t.call('GET', '/secrets')).body.map(({ name }: { name: string }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(names.length).toBe(answers.filter((status) => status === 201).length)
    expect(names.length).toBeLessThanOrEqual(50)
    expect(names.length).toBeGreaterThan(40)
    expect([...new Set(answers)].filter((status) => ![201, 409, 503].includes(status))).toEqual([])
  })

  test('lists them in pages, the newest first', async () => {
    for (let i = 0; i < 5; i++) {
      t.now += 1
      await create(`key-${i}`)
    }
    const first = await t.call('GET', '/secrets?limit=3')
    const second = await t.call('GET', `/secrets?limit=3&nextToken=${first.headers['x-next-token']}`)
    const names = [...first.body, ...second.body].map(({ name }: { name: string }) => name)
    expect(names).toEqual(['key-4', 'key-3', 'key-2', 'key-1', 'key-0'])
    expect(second.headers['x-next-token']).toBeUndefined()
    expect((await t.call('GET', '/secrets?nextToken=junk')).body.message).toBe('Invalid next token')
  })
})

describe('the value for a request of a sandbox', () => {
  test('is the newest at once, and none once the secret is deleted', async () => {
    await create('api')
    expect(await valueFor('api')).toBe(VALUE)
    await t.call('POST', '/secrets/api', { value: 'rotated' })
    expect(await valueFor('api')).toBe('rotated')
    expect(await t.server.credentials.secret('another', 'api')).toBeUndefined()
    await t.call('DELETE', '/secrets/api')
    expect(await valueFor('api')).toBeUndefined()
  })

  test('is refused when rows were swapped in the database', async () => {
    await create('cheap', { value: 'cheap value' })
    await create('precious')
    const precious = await t.inStore((store) =>
      store.selectFrom('secrets').select(['value']).where('name', '=', 'precious').executeTakeFirstOrThrow(),
    )
    await t.inStore((store) =>
      store.updateTable('secrets').set(precious).where('name', '=', 'cheap').execute(),
    )
    await expect(valueFor('cheap')).rejects.toThrow(/its row in the database was changed/)
    await t.inStore((store) => sql`update secrets set version = 2 where name = 'precious'`.execute(store))
    await expect(valueFor('precious')).rejects.toMatchObject({
      errorName: 'secrets_unavailable',
      status: 503,
    })
  })
})

describe('a server with a wrong key', () => {
  test('runs, answers 503 for secrets, lists and deletes them, and works with the former key again', async () => {
    await create('api')
    const former = t.secretsKeys.keys
    t.secretsKeys.keys = [randomBytes(32)]
    await t.crash()
    const refused = await create('more')
    expect(refused).toMatchObject({
      status: 503,
      headers: { 'cache-control': 'no-store' },
      body: { code: 503, error_code: 'secrets_unavailable' },
    })
    expect(refused.body.message).toMatch(/the administrator of this server must restore the key/)
    expect((await t.call('POST', '/secrets/api', { value: 'x' })).status).toBe(503)
    await expect(valueFor('api')).rejects.toMatchObject({ errorName: 'secrets_unavailable' })
    expect((await t.call('GET', '/secrets')).body).toHaveLength(1)
    expect((await t.call('GET', '/v2/sandboxes')).status).toBe(200)
    t.secretsKeys.keys = former
    await t.crash()
    expect(await valueFor('api')).toBe(VALUE)
  })

  test('takes a new key once all secrets are deleted', async () => {
    await create('api')
    t.secretsKeys.keys = []
    await t.crash()
    expect((await create('more')).status).toBe(503)
    expect((await t.call('DELETE', '/secrets/api')).status).toBe(204)
    await t.crash()
    expect((await create('more')).status).toBe(201)
    expect(await valueFor('more')).toBe(VALUE)
  })

  test('does not make a key before the first secret', async () => {
    expect((await t.call('GET', '/secrets')).body).toEqual([])
    expect(await valueFor('none')).toBeUndefined()
    expect(t.secretsKeys.keys).toEqual([])
  })
})
