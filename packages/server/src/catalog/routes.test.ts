import { expect, test } from 'vitest'
import { withCatalogKey } from '../api-keys/key-store.ts'
import { serverUnderTest } from '../test-support/server-under-test.ts'
import type { CatalogControl } from './routes.ts'

const asked: string[] = []
const catalog: CatalogControl = {
  build: (name) => void asked.push(`build ${name}`),
  remove: (name) => void asked.push(`remove ${name}`),
}
const tested = serverUnderTest({ catalog })

/** A request with a key of the catalog's team. */
const asAdministrator = (method: 'GET' | 'POST' | 'DELETE', url: string, body?: unknown) =>
  withCatalogKey(tested.current.storeUrl, (key) =>
    tested.current.call(method, url, body, { 'x-api-key': key }),
  )

async function buildDesktop(): Promise<void> {
  const { templateID, buildID } = (await asAdministrator('POST', '/v3/templates', { name: 'desktop' })).body
  await asAdministrator('POST', `/v2/templates/${templateID}/builds/${buildID}`, { fromTemplate: 'base' })
  const tags = async () => (await asAdministrator('GET', '/templates/desktop/tags')).body.length
  await expect.poll(tags).toBe(1)
}

test('every caller can see the state of the catalog, but only the administrator can change it', async () => {
  asked.length = 0
  const { catalogProgress } = tested.current.server
  catalogProgress.set('desktop', { state: 'waiting' }, { seconds: 240, megabytes: 4000 })
  expect((await tested.current.call('GET', '/catalog')).body).toEqual({
    templates: [{ name: 'desktop', state: 'waiting', estimate: { seconds: 240, megabytes: 4000 } }],
    readyCount: 0,
    left: { seconds: 240, megabytes: 4000 },
  })
  for (const method of ['POST', 'DELETE'] as const)
    expect(await tested.current.call(method, '/catalog/desktop')).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining('`sandlot templates`') },
    })
  expect(asked).toEqual([])
  expect((await asAdministrator('POST', '/catalog/desktop')).status).toBe(202)
  expect(asked).toEqual(['build desktop'])
})

test('a removed template is deleted with all files of its builds, unless it is in use', async () => {
  asked.length = 0
  await buildDesktop()
  const { sandboxID } = await tested.current.create({ templateID: 'desktop' })
  const refused = await asAdministrator('DELETE', '/catalog/desktop')
  expect(refused.status).toBe(409)
  expect(refused.body.message).toContain(`${sandboxID} (running)`)
  expect(asked).toEqual([])

  await tested.current.call('DELETE', `/sandboxes/${sandboxID}`)
  const removed = await asAdministrator('DELETE', '/catalog/desktop')
  expect(removed).toMatchObject({ status: 200, body: { freedBytes: 1000, neededBy: 0 } })
  expect(asked).toEqual(['remove desktop'])
  const { node } = tested.current
  expect([node.released.length, node.saved.size]).toEqual([1, 0])
  expect((await tested.current.call('POST', '/v2/sandboxes', { templateID: 'desktop' })).status).toBe(404)
})

test('builds of the catalog run in the background, those of teams do not', async () => {
  const { templateID, buildID } = (await tested.current.call('POST', '/v3/templates', { name: 'mine' })).body
  await tested.current.call('POST', `/v2/templates/${templateID}/builds/${buildID}`, { fromTemplate: 'base' })
  const tags = async () => (await tested.current.call('GET', '/templates/mine/tags')).body.length
  await expect.poll(tags).toBe(1)
  await buildDesktop()
  expect(tested.current.node.builtJobs.map(({ isBackground }) => isBackground)).toEqual([false, true])
})

test("a team's own template of the same name is kept", async () => {
  const { templateID, buildID } = (await tested.current.call('POST', '/v3/templates', { name: 'desktop' }))
    .body
  await tested.current.call('POST', `/v2/templates/${templateID}/builds/${buildID}`, { fromTemplate: 'base' })
  expect((await asAdministrator('DELETE', '/catalog/desktop')).body.freedBytes).toBe(0)
  expect((await tested.current.call('GET', '/templates/desktop')).status).toBe(200)
})
