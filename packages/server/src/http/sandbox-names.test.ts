import { beforeEach, describe, expect, test } from 'vitest'
import { type Method, type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
let id: string
/** Longer name that clients up to 1.5 use for a sandbox. */
let name: string
beforeEach(async () => {
  t = under.current
  id = (await t.create({ timeout: 100, metadata: { own: 'x' } })).sandboxID
  name = `${id}-sandlot`
})

/** Reads every route of one sandbox from the OpenAPI document, so that new routes are tested too. */
async function routes(): Promise<Array<[method: Method, path: string]>> {
  const document = (await t.call('GET', '/openapi.json')).body as { paths: Record<string, object> }
  return Object.entries(document.paths)
    .filter(([path]) => path.includes('/sandboxes/{'))
    .flatMap(([path, methods]) =>
      Object.keys(methods).map((method): [Method, string] => [method.toUpperCase() as Method, path]),
    )
}

const BODIES: Record<string, object> = {
  '/sandboxes/{sandboxID}/timeout': { timeout: 100 },
  '/sandboxes/{sandboxID}/connect': { timeout: 100 },
  '/sandboxes/{sandboxID}/rollback': { checkpointID: 'c0' },
  '/sandboxes/{sandboxID}/keep': { last: 3 },
}

test('every route of a sandbox accepts the longer name like the id', async () => {
  const all = await routes()
  expect(all.length).toBeGreaterThanOrEqual(20)
  for (const [method, path] of all) {
    const ask = async (called: string) => {
      const body = method === 'GET' ? undefined : (BODIES[path] ?? {})
      const answer = await t.call(method, path.replace(/{\w+}/, called), body)
      return [answer.status, answer.body?.message?.replaceAll(called, 'X')]
    }
    // two equal sandboxes, one called by id and one by name, because most routes change the sandbox
    const twin = (await t.create({ timeout: 100, metadata: { own: 'x' } })).sandboxID
    id = (await t.create({ timeout: 100, metadata: { own: 'x' } })).sandboxID
    expect([method, path, ...(await ask(`${id}-sandlot`))]).toEqual([method, path, ...(await ask(twin))])
  }
})

describe('an answer', () => {
  test('uses the name of the sandbox that the request used', async () => {
    for (const called of [id, name, `${id}-6532622b`]) {
      const detail = await t.call('GET', `/sandboxes/${called}`)
      expect(detail.body).toMatchObject({ sandboxID: called, metadata: { own: 'x' } })
      const connected = await t.call('POST', `/v2/sandboxes/${called}/connect`, {})
      expect(connected.body.sandboxID).toBe(called)
      expect((await t.call('GET', `/sandboxes/${called}/tree`)).body.sandboxID).toBe(called)
      const events = (await t.call('GET', `/events/sandboxes/${called}`)).body
      expect(events[0]).toMatchObject({ sandbox_id: called })
    }
  })

  test('has ids that clients 1.x join to the name that they used', async () => {
    const headers = { 'x-api-key': t.key, package_version: '1.5.6' }
    for (const called of [name, `${id}-6532622b`]) {
      const { body } = await t.call('GET', `/sandboxes/${called}`, undefined, headers)
      expect(`${body.sandboxID}-${body.clientID}`).toBe(called)
    }
    const { body: created } = await t.call('POST', '/sandboxes', { templateID: 'base' }, headers)
    expect(created).toMatchObject({ sandboxID: expect.not.stringContaining('-'), clientID: 'sandlot' })
  })

  test('about several sandboxes lists each under the name that the request used', async () => {
    const other = (await t.create()).sandboxID
    const samples = [...t.node.machines.keys()].map((machineId) => t.node.sample(machineId, t.now, 1))
    t.node.events.emit({ type: 'samples', samples })
    const ask = async () => {
      const { body } = await t.call('GET', `/sandboxes/metrics?sandbox_ids=${name},${other},igone-sandlot`)
      return Object.keys(body.sandboxes).sort()
    }
    await expect.poll(ask).toEqual([name, other].sort())
  })

  test('that is an error contains the name, and not the id', async () => {
    const gone = await t.call('GET', '/sandboxes/igone-sandlot')
    expect([gone.status, gone.body.message]).toEqual([
      404,
      `Sandbox "igone-sandlot" doesn't exist or you don't have access to it`,
    ])
    // a single letter, which also occurs in the message
    expect((await t.call('GET', '/sandboxes/a-b')).body.message).toBe(
      `Sandbox "a-b" doesn't exist or you don't have access to it`,
    )
  })

  test('to an invalid name is a 404', async () => {
    for (const wrong of [`-${id}`, `${id}-..%2Fx`, `${id}-a%0a`, `${id}%2d!`, `${id}-${'x'.repeat(65)}`])
      expect([wrong, (await t.call('GET', `/sandboxes/${wrong}`)).status]).toEqual([wrong, 404])
  })
})

test('snapshots are found by the name of their sandbox', async () => {
  const { snapshotID } = (await t.snapshot(name)).body
  for (const called of [id, name])
    expect((await t.call('GET', `/snapshots?sandboxID=${called}`)).body).toMatchObject([{ snapshotID }])
})

test("a template may have a name that looks like a sandbox's", async () => {
  const { body } = await t.call('POST', '/v3/templates', { name: 'my-app' })
  expect((await t.call('GET', '/templates/my-app')).body.templateID).toBe(body.templateID)
})
