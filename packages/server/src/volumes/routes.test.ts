import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { decodeJwt } from 'jose'
import { pino } from 'pino'
import { beforeEach, describe, expect, test } from 'vitest'
import { TEAM_LIMITS, type TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import { newTestDatabase } from '../test-support/database.ts'
import {
  type ServerUnderTest as Server,
  ServerUnderTest,
  serverUnderTest,
} from '../test-support/server-under-test.ts'
import { VolumeStorageDouble } from '../test-support/volume-storage-double.ts'
import { type Volume, VolumeRepository } from './repository.ts'
import { VolumeService } from './service.ts'

const storage = new VolumeStorageDouble()
const under = serverUnderTest({ volumes: storage })
let t: Server
beforeEach(() => {
  t = under.current
  storage.places.clear()
  storage.failure = undefined
})

const create = (name: string, more: object = {}) => t.call('POST', '/volumes', { name, ...more })

describe('a volume', () => {
  test('is created, listed, described, enlarged and deleted', async () => {
    const created = await create('my-data')
    expect(created).toMatchObject({
      status: 201,
      body: {
        volumeID: expect.stringMatching(/^vol[a-z0-9]{17}$/),
        name: 'my-data',
        sizeMB: 10_240,
        usedMB: 3,
      },
    })
    const { volumeID } = created.body
    expect((await t.call('GET', '/volumes')).body).toMatchObject([{ volumeID, name: 'my-data' }])
    expect((await t.call('GET', `/volumes/${volumeID}`)).body).toMatchObject({
      volumeID,
      token: expect.any(String),
    })
    expect((await t.call('PATCH', `/volumes/${volumeID}`, { sizeMB: 20_480 })).body).toMatchObject({
      sizeMB: 20_480,
    })
    expect((await t.call('PATCH', `/volumes/${volumeID}`, { sizeMB: 20 })).status).toBe(400)
    expect((await t.call('DELETE', `/volumes/${volumeID}`)).status).toBe(204)
    expect((await t.call('DELETE', `/volumes/${volumeID}`)).status).toBe(404)
    expect((await t.call('GET', `/volumes/${volumeID}`)).status).toBe(404)
    expect((await t.call('GET', '/volumes')).body).toEqual([])
  })

  test.each(['', 'a b', 'a/b', 'ü', '.', 'x'.repeat(129)])('cannot be named %j', async (name) => {
    expect((await create(name)).body).toMatchObject({ code: 400, message: 'Invalid volume name' })
  })

  test('has a name of its own within the team', async () => {
    await create('one')
    expect((await create('one')).body).toMatchObject({
      code: 400,
      message: "Volume with name 'one' already exists",
    })
  })

  test('that could not be made leaves nothing', async () => {
    storage.failure = new SandlotError('disk_full', 'the disk of the volumes is full')
    expect((await create('one')).status).toBe(507)
    storage.failure = undefined
    expect((await create('one')).status).toBe(201)
  })

  test('can be a copy, of the size of its source or larger', async () => {
    const { volumeID } = (await create('one', { sizeMB: 100 })).body
    expect((await create('two', { from: volumeID })).body).toMatchObject({ sizeMB: 100, copied: 'copy' })
    expect((await create('three', { from: volumeID, sizeMB: 99 })).status).toBe(400)
    expect((await create('four', { from: 'volnone' })).status).toBe(404)
  })
})

describe('a snapshot', () => {
  test('is a volume of the size of its source that nobody can change, and a source itself', async () => {
    const { volumeID } = (await create('one', { sizeMB: 100 })).body
    const made = await create('then', { from: volumeID, snapshot: true })
    expect(made).toMatchObject({ status: 201, body: { snapshotOf: volumeID, sizeMB: 100, copied: 'copy' } })
    const { token, ...snapshot } = made.body
    expect((await t.call('GET', '/volumes')).body).toContainEqual(
      expect.objectContaining({ name: 'then', snapshotOf: volumeID }),
    )
    const content = `/volumecontent/${snapshot.volumeID}`
    const headers = { authorization: `Bearer ${token}` }
    for (const [method, route] of [
      ['PUT', 'file'],
      ['POST', 'dir'],
      ['DELETE', 'path'],
      ['PATCH', 'path'],
    ] as const)
      expect(await t.call(method, `${content}/${route}?path=/f`, undefined, headers)).toMatchObject({
        status: 409,
        body: { code: 'conflict', message: expect.stringContaining("volume 'then' is a snapshot") },
      })
    expect((await t.call('PATCH', `/volumes/${snapshot.volumeID}`, { sizeMB: 200 })).status).toBe(409)
    const copy = await create('copy', { from: snapshot.volumeID, sizeMB: 200 })
    expect(copy.body).toMatchObject({ sizeMB: 200 })
    expect(copy.body).not.toHaveProperty('snapshotOf')
    expect((await t.call('DELETE', `/volumes/${volumeID}`)).status).toBe(204)
    expect((await t.call('GET', `/volumes/${snapshot.volumeID}`)).status).toBe(200)
  })

  test('needs a source, and takes no size', async () => {
    const { volumeID } = (await create('one')).body
    expect((await create('two', { snapshot: true })).body.message).toContain('from does not say')
    expect((await create('two', { from: volumeID, snapshot: true, sizeMB: 100 })).status).toBe(400)
  })
})

describe('a deleted volume', () => {
  test('can be deleted for good, then or at once', async () => {
    const { volumeID } = (await create('one')).body
    await t.call('DELETE', `/volumes/${volumeID}`)
    expect((await t.call('DELETE', `/volumes/${volumeID}?now=true`)).status).toBe(204)
    const other = (await create('one')).body
    expect((await t.call('DELETE', `/volumes/${other.volumeID}?now=true`)).status).toBe(204)
    expect([...storage.places]).toEqual([])
    expect((await t.call('GET', '/volumes/trash')).body).toEqual([])
    expect((await t.call('DELETE', `/volumes/${volumeID}?now=true`)).status).toBe(404)
  })

  test('can be restored for a day, then its files are gone', async () => {
    const { volumeID } = (await create('one')).body
    await t.call('DELETE', `/volumes/${volumeID}`)
    expect(storage.places.get(volumeID)).toBe('trash')
    expect((await t.call('GET', '/volumes/trash')).body).toMatchObject([{ volumeID, name: 'one' }])
    expect((await t.call('POST', `/volumes/${volumeID}/restore`)).status).toBe(200)
    expect(storage.places.get(volumeID)).toBe('live')
    await t.call('DELETE', `/volumes/${volumeID}`)
  })

  test('that is restored while old ones are removed keeps its files', async () => {
    const volume = (await create('one')).body
    await t.call('DELETE', `/volumes/${volume.volumeID}`)
    const other = (await create('two')).body
    await t.call('DELETE', `/volumes/${other.volumeID}`)
    await t.inStore(async (store) => {
      const repository = new VolumeRepository(store)
      const [{ teamId }] = (await repository.all()) as [Volume]
      const service = new VolumeService({
        repository,
        storage,
        limits: {} as TeamLimits,
        usersOf: () => [],
        logger: pino({ level: 'silent' }),
        now: () => t.now + 25 * 3_600_000,
      })
      const restoring = service.restore({ teamId } as Team, volume.volumeID)
      expect(await service.prune()).toBe(1)
      await restoring
    })
    expect([...storage.places]).toEqual([[volume.volumeID, 'live']])
    expect((await t.call('GET', '/volumes')).body).toMatchObject([{ name: 'one' }])
  })

  test('stays deleted when its files cannot be restored, and can be restored later', async () => {
    const { volumeID } = (await create('one')).body
    await t.call('DELETE', `/volumes/${volumeID}`)
    storage.failure = new SandlotError('volume_unavailable', 'the disk does not answer')
    expect((await t.call('POST', `/volumes/${volumeID}/restore`)).status).toBe(503)
    expect((await t.call('GET', '/volumes')).body).toEqual([])
    expect((await t.call('GET', '/volumes/trash')).body).toMatchObject([{ volumeID }])
    storage.failure = undefined
    expect((await t.call('POST', `/volumes/${volumeID}/restore`)).status).toBe(200)
    expect([...storage.places]).toEqual([[volumeID, 'live']])
  })

  test('whose name was given to another cannot be restored', async () => {
    const { volumeID } = (await create('one')).body
    await t.call('DELETE', `/volumes/${volumeID}`)
    await create('one')
    expect((await t.call('POST', `/volumes/${volumeID}/restore`)).status).toBe(409)
  })
})

test('a volume that cannot grow while sandboxes use it says which ones, and what to do', async () => {
  const { volumeID } = (await create('one')).body
  const { sandboxID } = await t.create({ volumeMounts: [{ name: 'one', path: '/mnt/one' }] })
  storage.failure = new SandlotError('conflict', 'the server may not')
  const { status, body } = await t.call('PATCH', `/volumes/${volumeID}`, { sizeMB: 20_480 })
  expect([status, body.message]).toEqual([
    409,
    `volume 'one' cannot grow now: sandbox ${sandboxID} has it mounted, and the server may not: kill what holds it, or make a larger copy (\`from\` and \`sizeMB\`)`,
  ])
  expect((await t.call('GET', `/volumes/${volumeID}`)).body.sizeMB).toBe(10_240)
})

describe('limits', () => {
  test('of the number and of the bytes of a team', async () => {
    await t.limit({ volume_mb: 1000 })
    expect((await create('one', { sizeMB: 600 })).status).toBe(201)
    expect((await create('two', { sizeMB: 600 })).body).toMatchObject({
      code: 429,
      error_code: 'quota_exceeded',
    })
    expect((await create('three', { sizeMB: TEAM_LIMITS.volumeMB + 1 })).status).toBe(400)
  })
})

describe('after a crash', () => {
  test('a volume that was not ready is gone, and files are where their rows say', async () => {
    const { volumeID } = (await create('one')).body
    await t.inStore(async (store) => {
      const row = { ready_at: null, deleted_at: null, team_id: '', size_bytes: 1, created_at: 1 }
      const { id } = await store.selectFrom('teams').select('id').executeTakeFirstOrThrow()
      await store
        .insertInto('volumes')
        .values({ ...row, id: 'volhalf', name: 'half', team_id: id })
        .execute()
    })
    storage.places.set('volhalf', 'live')
    storage.places.set(volumeID, 'trash')
    await t.crash()
    expect([...storage.places]).toEqual([[volumeID, 'live']])
    expect((await create('half')).status).toBe(201)
  })
})

describe('the token of a volume', () => {
  const stat = (volumeID: string, token: string) =>
    t.call('GET', `/volumecontent/${volumeID}/path?path=/`, undefined, { authorization: `Bearer ${token}` })

  test('has the claims of E2B, is for one volume, and expires', async () => {
    const one = (await create('one')).body
    const two = (await create('two')).body
    expect(decodeJwt(one.token)).toMatchObject({
      aud: 'https://api.sandlot.test',
      iss: 'https://api.sandlot.test',
      sub: one.volumeID,
      volid: one.volumeID,
      voltype: 'volume',
      jti: expect.any(String),
      nbf: expect.any(Number),
    })
    expect(await stat(two.volumeID, one.token)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
    expect(await stat(one.volumeID, 'nonsense')).toMatchObject({
      status: 401,
      body: { code: 'unauthorized' },
    })
    expect((await stat(one.volumeID, t.key)).status).toBe(401)
    await t.call('DELETE', `/volumes/${one.volumeID}`)
    expect((await stat(one.volumeID, one.token)).status).toBe(404)
    t.now += 25 * 3_600_000
    expect((await stat(two.volumeID, two.token)).status).toBe(401)
  })
})

describe('a volume in a sandbox', () => {
  test('is shown, kept over a pause and a fork, and cannot be deleted meanwhile', async () => {
    const { volumeID } = (await create('data')).body
    const { sandboxID } = await t.create({ volumeMounts: [{ name: 'data', path: '/mnt/data' }] })
    const shown = [{ name: 'data', path: '/mnt/data' }]
    expect((await t.call('GET', `/sandboxes/${sandboxID}`)).body.volumeMounts).toEqual(shown)
    expect((await t.act(sandboxID, 'pause')).status).toBe(204)
    const { status, body } = await t.call('DELETE', `/volumes/${volumeID}`)
    expect([status, body.message]).toEqual([
      409,
      `volume 'data' is in use by sandbox ${sandboxID}: kill them first`,
    ])
    expect((await t.call('GET', `/sandboxes/${sandboxID}`)).body.volumeMounts).toEqual(shown)
    await t.call('DELETE', `/sandboxes/${sandboxID}`)
    expect((await t.call('DELETE', `/volumes/${volumeID}`)).status).toBe(204)
  })

  test('that is a snapshot is read-only whatever a create asks for', async () => {
    const { volumeID } = (await create('data')).body
    await create('then', { from: volumeID, snapshot: true })
    const { sandboxID } = await t.create({ volumeMounts: [{ name: 'then', path: '/then', readOnly: false }] })
    expect((await t.call('GET', `/sandboxes/${sandboxID}`)).body.volumeMounts).toEqual([
      { name: 'then', path: '/then', readOnly: true },
    ])
  })

  test('that does not exist is named', async () => {
    const volumeMounts = [{ name: 'none', path: '/mnt/data' }]
    expect((await t.call('POST', '/v2/sandboxes', { templateID: 'base', volumeMounts })).body).toMatchObject({
      code: 400,
      message: "invalid mounts:\n\t- volume mount #0: volume 'none' not found",
    })
  })
})

test('another team sees nothing of a volume', async () => {
  const { volumeID } = (await create('one')).body
  await t.inStore(async (store) => {
    const plan = 'unlimited'
    await store
      .insertInto('teams')
      .values({ id: 'other', name: 'other', slug: 'other', plan, created_at: 1 })
      .execute()
  })
  const { key: otherKey } = await t.server.keys.create('other', 'key')
  const headers = { 'x-api-key': otherKey }
  expect((await t.call('GET', '/volumes', undefined, headers)).body).toEqual([])
  for (const [method, url] of [
    ['GET', ''],
    ['PATCH', ''],
    ['DELETE', ''],
    ['DELETE', '?now=true'],
    ['POST', '/restore'],
  ] as const)
    expect(
      (
        await t.call(
          method,
          `/volumes/${volumeID}${url}`,
          method === 'PATCH' ? { sizeMB: 20_480 } : undefined,
          headers,
        )
      ).status,
    ).toBe(404)
  expect((await t.call('POST', '/volumes', { name: 'x', from: volumeID }, headers)).status).toBe(404)
})

test('a server without volumes says so', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sandlot-no-volumes-'))
  const none = new ServerUnderTest(directory)
  none.database = await newTestDatabase(directory)
  await none.open()
  expect((await none.call('GET', '/volumes')).body).toMatchObject({ code: 403 })
  await none.close()
  rmSync(directory, { recursive: true })
})
