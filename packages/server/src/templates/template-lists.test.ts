import { beforeEach, describe, expect, test } from 'vitest'
import { projectIdOf } from '../teams/team-id.ts'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest({ templateDescriptions: { base: 'the base', mine: 'not shown' } })
let t: ServerUnderTest
beforeEach(() => void (t = under.current))
const get = (url: string, key = t.key) => t.call('GET', url, undefined, { 'x-api-key': key })

interface Listed {
  aliases: string[]
}
const named = (list: Listed[], name: string) => list.find(({ aliases }) => aliases[0] === name)

async function announce(name: string, key = t.key) {
  const headers = { 'x-api-key': key }
  return (await t.call('POST', '/v3/templates', { name }, headers)).body as {
    templateID: string
    buildID: string
  }
}

async function build(name: string, key = t.key) {
  const announced = await announce(name, key)
  const path = `/templates/${announced.templateID}/builds/${announced.buildID}`
  await t.call('POST', `/v2${path}`, { fromImage: 'e2bdev/base' }, { 'x-api-key': key })
  await expect.poll(async () => (await get(`${path}/status`, key)).body.status).toBe('ready')
  return announced
}

describe('templates that come with the server', () => {
  test('are listed by id with mark and description, but without their use by other teams', async () => {
    const catalogKey = await t.server.newCatalogKey()
    const { templateID, buildID } = await build('claude', catalogKey)
    const unready = await announce('codex', catalogKey)
    await build('mine')
    for (const name of ['base', 'claude', 'mine']) await t.create({ templateID: name })
    const { status, body } = await get('/default-templates')
    expect(status).toBe(200)
    const ids = body.map((template: { templateID: string }) => template.templateID)
    expect(ids).toEqual([...ids].sort())
    expect(body).toHaveLength(3)
    expect(named(body, 'base')).toMatchObject({ isDefault: true, description: 'the base', buildID: 'b1' })
    expect(named(body, 'claude')).toMatchObject({
      templateID,
      buildID,
      names: ['default/claude'],
      isDefault: true,
      buildStatus: 'ready',
      spawnCount: 0,
      buildCount: 0,
      lastSpawnedAt: null,
      createdBy: null,
    })
    expect(named(body, 'codex')).toMatchObject({
      templateID: unready.templateID,
      buildID: '',
      cpuCount: 0,
      memoryMB: 0,
      envdVersion: '',
      buildStatus: 'waiting',
    })
    const all = (await get('/templates')).body
    expect(named(all, 'mine')).toMatchObject({ isDefault: false, spawnCount: 1, buildCount: 1 })
    expect(named(all, 'mine')).not.toHaveProperty('description')
    expect(named(all, 'codex')).toBeUndefined()
    expect(named((await get('/default-templates', catalogKey)).body, 'claude')).toMatchObject({
      spawnCount: 1,
      buildCount: 1,
    })
  })
})

test('a template shows the build that a create starts from, and the status of the newest build', async () => {
  const first = await build('app')
  const second = await announce('app')
  const { body, headers } = await get(`/templates/${first.templateID}?limit=1`)
  expect(body).toMatchObject({
    buildID: first.buildID,
    cpuCount: 2,
    memoryMB: 1024,
    diskSizeMB: 10240,
    createdBy: null,
    buildCount: 2,
    envdVersion: '0.6.13',
    buildStatus: 'waiting',
    isDefault: false,
    builds: [{ buildID: expect.any(String), status: expect.any(String) }],
  })
  const rest = await get(`/templates/${first.templateID}?nextToken=${headers['x-next-token']}`)
  expect(rest.headers['x-next-token']).toBeUndefined()
  const seen = [...body.builds, ...rest.body.builds].map(({ buildID }: { buildID: string }) => buildID)
  expect(seen.sort()).toEqual([first.buildID, second.buildID].sort())
})

describe('a teamID', () => {
  const teamId = async () => (await get('/teams')).body[0].teamID as string

  test.each(['/templates', '/v2/templates'])('of %s may be a UUID or a project id', async (url) => {
    const own = await teamId()
    for (const id of [own, own.toUpperCase(), projectIdOf({ teamId: own })])
      expect((await get(`${url}?teamID=${id}`)).status).toBe(200)
    for (const id of [crypto.randomUUID(), 'prj_abc'])
      expect((await get(`${url}?teamID=${id}`)).status).toBe(403)
    const { status, body } = await get(`${url}?teamID=nonsense`)
    expect([status, body.message]).toEqual([400, expect.stringContaining("'nonsense' is neither a UUID nor")])
  })

  test('is accepted with an announced build, and listed in its other form with the teams', async () => {
    const { projectID } = (await get('/teams')).body[0]
    const announced = (teamID: string) => t.call('POST', '/v3/templates', { name: 'app', teamID })
    expect((await announced(projectID)).status).toBe(202)
    expect((await announced('prj_abc')).status).toBe(403)
  })
})

describe('lists in one piece', () => {
  const COUNT = 5_001
  const ids = Array.from({ length: COUNT }, (_, i) => `i${String(i).padStart(20, '0')}`)

  test('of more than 5000 templates are refused, pages are not', async () => {
    const { teamID } = (await get('/teams')).body[0]
    await t.inStore((store) =>
      store.transaction().execute(async (transaction) => {
        for (const id of ids)
          await transaction
            .insertInto('templates')
            .values({ id, team_id: teamID, name: null, is_public: 0, created_at: 1, updated_at: 1 } as never)
            .execute()
      }),
    )
    await t.crash()
    const { status, body } = await get('/templates')
    expect([status, body.message]).toEqual([400, expect.stringContaining('GET /v2/templates')])
    const page = await get('/v2/templates?limit=2')
    expect([page.status, page.body.length, typeof page.headers['x-next-token']]).toEqual([200, 2, 'string'])
  })

  test('of more than 5000 matching sandboxes are refused', async () => {
    const { sandboxID } = await t.create({ metadata: { a: 'b' } })
    await t.inStore((store) =>
      store.transaction().execute(async (transaction) => {
        const row = await transaction
          .selectFrom('sandboxes')
          .selectAll()
          .where('id', '=', sandboxID)
          .executeTakeFirstOrThrow()
        for (const id of ids) {
          t.node.machines.set(id, undefined)
          await transaction
            .insertInto('sandboxes')
            .values({ ...row, id, machine_id: id, metadata: '{}' })
            .execute()
        }
      }),
    )
    await t.crash()
    const { status, body } = await get('/sandboxes')
    expect([status, body.message]).toEqual([400, expect.stringContaining('GET /v2/sandboxes')])
    expect((await get('/sandboxes?metadata=a%3Db')).body).toHaveLength(1)
    expect((await get('/v2/sandboxes?limit=3')).body).toHaveLength(3)
  })
})
