import { sql } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'
import { TemplateRepository } from './repository.ts'

const under = serverUnderTest()
let t: ServerUnderTest
let templateID: string
const builds: string[] = []
const get = (path: string) => t.call('GET', `/templates/${templateID}/tags${path}`)
const tag = (target: string, tags: string[]) => {
  t.now += 1_000
  return t.call('POST', '/templates/tags', { target, tags })
}

/** Takes snapshots, which are builds that are ready at once. */
beforeEach(async () => {
  t = under.current
  builds.length = 0
  const { sandboxID } = await t.create()
  for (const name of ['app:v1', 'app:v2']) {
    await t.snapshot(sandboxID, name)
    const newest = (await t.call('GET', '/templates/app')).body
    templateID = newest.templateID
    builds.push(newest.builds[0].buildID)
  }
  await tag('app:v1', ['stable', 'old_one'])
  await tag('app:v2', ['stable'])
  await tag('app:v1', ['stable'])
})

test('the count is the number of different tags', async () => {
  expect((await get('/count')).body).toEqual({ total: 4 })
  await t.call('DELETE', '/templates/tags', { name: 'app', tags: ['old_one'] })
  expect((await get('/count')).body).toEqual({ total: 3 })
  expect((await get('/old_one/assignments')).body).toEqual({ data: [], nextCursor: null })
})

test('the existence of a tag is checked in lower case', async () => {
  expect((await get('/exists?tag=%20STABLE')).body).toEqual({ exists: true, normalizedTag: 'stable' })
  expect((await get('/exists?tag=nope')).body).toEqual({ exists: false, normalizedTag: 'nope' })
  expect((await get('/exists?tag=a%20b')).status).toBe(400)
  expect((await get('/exists')).status).toBe(400)
})

test('assignments of a tag are listed in pages, newest first, and survive a restart', async () => {
  await t.crash()
  const [v1, v2] = builds
  const { body } = await get('/stable/assignments')
  expect(body.data.map(({ buildId }: { buildId: string }) => buildId)).toEqual([v1, v2, v1])
  expect(body.nextCursor).toBeNull()
  const [newest] = body.data
  expect(newest.assignmentId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  expect(newest.assignedAt).toBe(new Date(t.now).toISOString())
  expect(Date.parse(newest.buildFinishedAt)).toBeGreaterThanOrEqual(Date.parse(newest.buildCreatedAt))
  const first = (await get('/stable/assignments?limit=2')).body
  expect(first.data).toEqual(body.data.slice(0, 2))
  const rest = (await get(`/stable/assignments?limit=2&cursor=${first.nextCursor}`)).body
  expect(rest).toEqual({ data: body.data.slice(2), nextCursor: null })
})

describe('groups', () => {
  interface Group {
    tag: string
    assignments: unknown[]
    hasMore: boolean
  }
  const tagsOf = async (query = '') =>
    (await get(`/groups${query}`)).body.tags.map((group: Group) => group.tag) as string[]

  test('hold the newest assignments of each tag and say whether there are more', async () => {
    const { body } = await get('/groups?assignmentLimit=2')
    const stable = body.tags.find((group: Group) => group.tag === 'stable')
    expect([stable.assignments.length, stable.hasMore]).toEqual([2, true])
    expect(stable.assignments).toEqual((await get('/stable/assignments')).body.data.slice(0, 2))
    expect(body.tags.find((group: Group) => group.tag === 'v1')).toMatchObject({ hasMore: false })
    expect(body.nextCursor).toBeNull()
  })

  test('are sorted by name or by their newest assignment, and searched', async () => {
    expect(await tagsOf()).toEqual(['stable', 'old_one', 'v2', 'v1'])
    expect(await tagsOf('?sort=latest_asc')).toEqual(['v1', 'v2', 'old_one', 'stable'])
    expect(await tagsOf('?sort=name_asc')).toEqual(['old_one', 'stable', 'v1', 'v2'])
    expect(await tagsOf('?sort=name_desc')).toEqual(['v2', 'v1', 'stable', 'old_one'])
    expect(await tagsOf('?search=v')).toEqual(['v2', 'v1'])
    expect(await tagsOf('?search=_')).toEqual(['old_one'])
    expect(await tagsOf('?search=')).toHaveLength(4)
  })

  test.each(['latest_desc', 'latest_asc', 'name_asc', 'name_desc'])(
    'in pages by %s hold every tag once',
    async (sort) => {
      const seen: string[] = []
      let cursor = ''
      do {
        const { body } = await get(`/groups?sort=${sort}&tagsLimit=1${cursor}`)
        seen.push(...body.tags.map((group: Group) => group.tag))
        cursor = body.nextCursor === null ? '' : `&tagsCursor=${body.nextCursor}`
      } while (cursor !== '')
      expect(seen).toEqual(await tagsOf(`?sort=${sort}`))
    },
  )

  test.each([
    '?assignmentLimit=0',
    '?assignmentLimit=26',
    '?tagsLimit=0',
    '?tagsLimit=101',
    '?search=UPPER',
    `?search=${'a'.repeat(65)}`,
    '?sort=best',
    '?tagsCursor=nonsense',
    `?sort=name_asc&tagsCursor=${Buffer.from('["name_desc",1,"v1"]').toString('base64url')}`,
  ])('with %s are a 400', async (query) => {
    expect((await get(`/groups${query}`)).status).toBe(400)
  })
})

test.each(['/count', '/exists?tag=v1', '/groups', '/v1/assignments'])(
  'a template of another team is a 404 for %s',
  async (path) => {
    expect((await t.call('GET', `/templates/nothing/tags${path}`)).status).toBe(404)
    expect((await t.call('GET', `/templates/base/tags${path}`)).status).toBe(404)
    const headers = { 'x-api-key': await t.server.newCatalogKey() }
    expect((await t.call('GET', `/templates/${templateID}/tags${path}`, undefined, headers)).status).toBe(404)
    expect((await get(path)).status).toBe(200)
  },
)

const many = (from: number, count: number) => Array.from({ length: count }, (_, i) => `t${from + i}`)

test('a template has at most 1000 tags, and a tag remembers at most 100 assignments', async () => {
  for (let i = 0; i < 9; i++) expect((await tag('app:v1', many(i * 100, 100))).status).toBe(201)
  expect((await tag('app:v1', many(900, 96))).status).toBe(201)
  const { status, body } = await tag('app:v1', ['one-more'])
  expect([status, body.message]).toEqual([400, expect.stringContaining('this template has 1000 tags')])
  expect((await tag('app:v2', ['stable'])).status).toBe(201)
  const kept = await t.inStore(async (store) => {
    const repository = new TemplateRepository(store)
    for (let i = 1; i <= 105; i++)
      await repository.setTags({ templateId: templateID, buildId: builds[0]! }, ['v1', 'v1', 'v2'], t.now + i)
    return store
      .selectFrom('tag_assignments')
      .select('assigned_at')
      .where('tag', '=', 'v1')
      .orderBy('assigned_at')
      .execute()
  })
  expect(kept.map((row) => row.assigned_at - t.now)).toEqual(Array.from({ length: 100 }, (_, i) => i + 6))
})

test('a team has at most 10 000 tags', async () => {
  const { sandboxID } = await t.create()
  for (let i = 0; i < 10; i++) {
    await t.snapshot(sandboxID, `full${i}`)
    for (let from = 0; from < 990; from += 99) await tag(`full${i}`, many(from, 99))
  }
  const { status, body } = await tag('app:v1', many(0, 100))
  expect([status, body.message]).toEqual([400, expect.stringContaining('your team has')])
  expect((await tag('app:v1', ['stable'])).status).toBe(201)
}, 60_000)

test('tags of one request are all set or none', async () => {
  const found = await t.inStore(async (store) => {
    await sql`create unique index refuse on template_tags ((case when tag in ('good', 'bad') then 1 end))`.execute(
      store,
    )
    const setting = new TemplateRepository(store).setTags(
      { templateId: templateID, buildId: builds[0]! },
      ['good', 'bad'],
      t.now,
    )
    await expect(setting).rejects.toThrow(/unique/i)
    return store.selectFrom('template_tags').select('tag').where('tag', '=', 'good').execute()
  })
  expect(found).toEqual([])
})
