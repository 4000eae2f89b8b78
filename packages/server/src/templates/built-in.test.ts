import { expect, test } from 'vitest'
import { serverUnderTest } from '../test-support/server-under-test.ts'
import { listTemplates } from './template-list.ts'

const tested = serverUnderTest()
const call = (...args: Parameters<typeof tested.current.call>) => tested.current.call(...args)

/** Builds a template as the team of `key`. */
async function build(name: string, key: string): Promise<string> {
  return (await builtBy(name, key)).templateID
}

async function builtBy(name: string, key: string): Promise<{ templateID: string; buildID: string }> {
  const headers = { 'x-api-key': key }
  const { templateID, buildID } = (await call('POST', '/v3/templates', { name }, headers)).body
  await call(
    'POST',
    `/v2/templates/${templateID}/builds/${buildID}`,
    { fromImage: 'e2bdev/base', steps: [] },
    headers,
  )
  const status = async () =>
    (await call('GET', `/templates/${templateID}/builds/${buildID}/status`, undefined, headers)).body.status
  await expect.poll(status).toBe('ready')
  return { templateID, buildID }
}
const createFrom = (templateID: string, key = tested.current.key) =>
  call('POST', '/v2/sandboxes', { templateID }, { 'x-api-key': key })

test('all teams can start templates of the catalog by their bare name, and builds of a team do not change those', async () => {
  const templateID = await build('claude', await tested.current.server.newCatalogKey())
  const started = await createFrom('claude')
  expect(started).toMatchObject({ status: 201, body: { templateID } })
  const own = await build('claude', tested.current.key)
  expect(own).not.toBe(templateID)
  expect((await createFrom('claude')).body.templateID).toBe(own)
  expect((await call('DELETE', `/templates/${templateID}`)).status).toBe(403)
})

test('a template of the catalog is listed once it can be started', async () => {
  const key = await tested.current.server.newCatalogKey()
  await call('POST', '/v3/templates', { name: 'claude' }, { 'x-api-key': key })
  const names = async () =>
    ((await call('GET', '/templates')).body as Array<{ aliases: string[] }>).flatMap(({ aliases }) => aliases)
  expect(await names()).toEqual(['base'])
  await build('codex', key)
  expect((await names()).sort()).toEqual(['base', 'codex'])
})

test('a create from a template that is still being built is a 409 with the progress; an unknown template is a 404', async () => {
  const { catalogProgress } = tested.current.server
  catalogProgress.set('claude', { state: 'waiting' })
  const early = await createFrom('claude')
  expect(early).toMatchObject({
    status: 409,
    body: { message: expect.stringContaining('waiting for its turn') },
  })
  expect((await call('GET', '/templates/aliases/claude')).status).toBe(404)
  expect((await createFrom('claude:v7')).status).toBe(404)
  catalogProgress.ready('claude')
  expect((await createFrom('claude')).status).toBe(404)
})

test('an administrator sees the templates of all teams, and why a build failed', async () => {
  await build('claude', await tested.current.server.newCatalogKey())
  tested.current.node.building = () => Promise.reject(new Error('no such package'))
  const { templateID, buildID } = (await call('POST', '/v3/templates', { name: 'app' })).body
  await call('POST', `/v2/templates/${templateID}/builds/${buildID}`, { fromImage: 'e2bdev/base', steps: [] })
  const listed = async () =>
    (await listTemplates(tested.current.storeUrl)).map(({ name, team, status, reason }) => [
      ...[name, team, status, reason],
    ])
  await expect.poll(listed).toContainEqual(['app', 'default', 'error', 'no such package'])
  expect(await listed()).toContainEqual(['base', null, 'ready', undefined])
  expect(await listed()).toContainEqual(['claude', null, 'ready', undefined])
})

test('a new key of the catalog invalidates the previous one', async () => {
  const first = await tested.current.server.newCatalogKey()
  const second = await tested.current.server.newCatalogKey()
  const status = async (key: string) =>
    (await call('GET', '/templates', undefined, { 'x-api-key': key })).status
  expect([await status(first), await status(second)]).toEqual([401, 200])
})

test('a public template of another team is found by namespace and name; a private one is treated like an unknown one', async () => {
  const other = await tested.current.server.newCatalogKey()
  const templateID = await build('app', tested.current.key)
  expect((await createFrom('default/app', other)).status).toBe(404)
  await call('PATCH', '/v2/templates/app', { public: true })
  expect((await createFrom('default/app', other)).body.templateID).toBe(templateID)
  expect((await createFrom('app', other)).status).toBe(404)
  await tested.current.crash()
  const after = await tested.current.server.newCatalogKey()
  expect((await createFrom('default/app', after)).body.templateID).toBe(templateID)
})

test("a build of another team's public template can be started by its id, one of a private template is unknown", async () => {
  const other = await tested.current.server.newCatalogKey()
  const { templateID, buildID } = await builtBy('app', tested.current.key)
  await builtBy('app', tested.current.key)
  expect((await createFrom(`default/app:${buildID}`, other)).status).toBe(404)
  expect((await createFrom(`${templateID}:${buildID}`, other)).status).toBe(403)
  await call('PATCH', '/v2/templates/app', { public: true })
  for (const name of ['default/app', templateID]) {
    expect((await createFrom(`${name}:${buildID}`, other)).status).toBe(201)
    expect(tested.current.node.acquired.at(-1)).toBe(buildID)
  }
  tested.current.node.building = () => Promise.reject(new Error('a secret path'))
  const failed = (await call('POST', '/v3/templates', { name: 'app' })).body
  await call('POST', `/v2/templates/${templateID}/builds/${failed.buildID}`, { steps: [] })
  const target = `default/app:${failed.buildID}`
  expect(await createFrom(target, other)).toMatchObject({
    status: 404,
    body: { message: `tag '${failed.buildID}' does not exist for template 'default/app'` },
  })
  const tagged = await call(
    'POST',
    '/templates/tags',
    { target: `default/app:${buildID}`, tags: ['mine'] },
    { 'x-api-key': other },
  )
  expect(tagged.status).toBe(403)
})
