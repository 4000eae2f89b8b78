import { expect, test } from 'vitest'
import { type Method, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()

/** A body with the fields of all routes; each route reads its own. */
const BODY = { timeout: 60, last: 20, checkpointID: `c${'a'.repeat(20)}`, name: 'data', path: '/mnt/data' }

interface Route {
  method: Method
  path: string
  hasBody: boolean
}

/** Reads all routes of sandboxes from the OpenAPI document, so that new routes are tested too. */
async function routesOfSandboxes(): Promise<Route[]> {
  const { body } = await under.current.call('GET', '/openapi.json', undefined, {})
  const found: Route[] = []
  for (const [path, operations] of Object.entries(body.paths as Record<string, Record<string, object>>))
    for (const [method, operation] of Object.entries(operations))
      if (path.includes('/sandboxes/{sandboxID}'))
        found.push({ method: method.toUpperCase() as Method, path, hasBody: 'requestBody' in operation })
  return found
}

function queryOf(path: string): string {
  if (path.endsWith('/diff')) return `?from=c${'a'.repeat(20)}&to=c${'b'.repeat(20)}`
  return path.endsWith('/volumes') ? '?path=/mnt/data' : ''
}

const ask = ({ method, path, hasBody }: Route, id: string) => {
  const url = path.replace('{sandboxID}', id)
  return under.current.call(method, url + queryOf(path), hasBody ? BODY : undefined)
}

test('every route treats sandboxes of another team like unknown ones, and does not touch them', async () => {
  const server = under.current
  const { sandboxID } = await server.create()
  await server.inStore(async (store) => {
    await store.updateTable('sandboxes').set({ team_id: 'another' }).execute()
    await store.updateTable('events').set({ team_id: 'another' }).execute()
  })
  await server.crash()
  const rowOf = () =>
    server.inStore((store) => store.selectFrom('sandboxes').selectAll().where('id', '=', sandboxID).execute())
  const before = await rowOf()
  const routes = await routesOfSandboxes()
  expect(routes.length).toBeGreaterThan(15)
  const never = `i${'z'.repeat(sandboxID.length - 1)}`
  const statuses: Record<string, number> = {}
  for (const route of routes) {
    const name = `${route.method} ${route.path}`
    const [theirs, none] = [await ask(route, sandboxID), await ask(route, never)]
    statuses[name] = theirs.status
    const text = JSON.stringify(theirs.body).replaceAll(sandboxID, never)
    expect([name, text]).toEqual([name, JSON.stringify(none.body)])
  }
  // the list of events of an unknown sandbox is empty, not an error
  const expected = (name: string) => (name.startsWith('GET /events/') ? 200 : 404)
  expect(statuses).toEqual(Object.fromEntries(Object.keys(statuses).map((name) => [name, expected(name)])))
  expect(await rowOf()).toEqual(before)
})

test('every route of a sandbox is refused without a key', async () => {
  const { sandboxID } = await under.current.create()
  for (const { method, path, hasBody } of await routesOfSandboxes()) {
    const url = path.replace('{sandboxID}', sandboxID)
    const { status } = await under.current.call(method, url, hasBody ? BODY : undefined, {})
    expect([`${method} ${path}`, status]).toEqual([`${method} ${path}`, 401])
  }
})
