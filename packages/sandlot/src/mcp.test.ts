import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { createEdge } from '@sandlot/edge'
import { ApiKeyRepository } from '@sandlot/server/api-keys/repository'
import { type ServerUnderTest, serverUnderTest } from '@sandlot/server/test-support/server-under-test'
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { McpTools } from './mcp.ts'
import { Traffic } from './traffic.ts'

const DOMAIN = 'sandlot.test'
const logger = pino({ level: 'silent' })
const mcp = new McpTools(DOMAIN, logger)
const under = serverUnderTest({ mcp })
let t: ServerUnderTest
let url: string
const cleanups: Array<() => unknown> = []

beforeEach(async () => {
  t = under.current
  const api = t.server.fastify
  const edge = createEdge({ directory: t.server.directory, domain: DOMAIN, logger })
  mcp.connect({ edge, api, traffic: new Traffic() })
  const outside = createServer((request, response) => api.routing(request as never, response as never))
  await new Promise<void>((resolve) => outside.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(outside.address() as AddressInfo).port}/mcp`
  cleanups.push(
    () => mcp.close(),
    () => edge.close(),
    () => outside.closeAllConnections(),
    () => outside.close(),
  )
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function connect(headers: Record<string, string>, revision?: '2026-07-28') {
  const options = revision ? { versionNegotiation: { mode: { pin: revision } } } : {}
  const client = new Client({ name: 'test', version: '1' }, options)
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }))
  cleanups.push(() => client.close())
  return client
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const post = (body: unknown, headers: Record<string, string> = {}) =>
  fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...bearer(t.key),
      ...headers,
    },
    body: JSON.stringify(body),
  })
const textOf = (result: unknown) => (result as { content: Array<{ text: string }> }).content[0]!.text

test.each([undefined, '2026-07-28'] as const)(
  'revision %s: a sandbox is created, listed and killed',
  async (revision) => {
    const client = await connect(bearer(t.key), revision)
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('run_command')
    const call = async (name: string, args: Record<string, unknown>) =>
      (await client.callTool({ name, arguments: args })).structuredContent as never
    const { sandbox_id } = await call('create_sandbox', { metadata: { job: '7' }, timeout_seconds: 60 })
    const { sandboxes } = await call('list_sandboxes', { metadata: { job: '7' } })
    expect(sandboxes).toMatchObject([{ sandbox_id, state: 'running', template: 'base' }])
    expect(await call('get_port_url', { sandbox_id, port: 8080 })).toEqual({
      url: `https://8080-${sandbox_id}.${DOMAIN}`,
    })
    expect(await call('kill_sandbox', { sandbox_id })).toEqual({ sandbox_id, killed: true })
    expect(await call('kill_sandbox', { sandbox_id })).toEqual({ sandbox_id, killed: false })
  },
)

test('errors say what to do', async () => {
  const client = await connect({ 'x-api-key': t.key })
  const gone = await client.callTool({ name: 'get_sandbox', arguments: { sandbox_id: 'inobody' } })
  expect([gone.isError, textOf(gone)]).toEqual([true, expect.stringContaining('list_sandboxes shows')])
  const wrong = await client.callTool({ name: 'create_sandbox', arguments: { timeout_seconds: 3, size: 1 } })
  expect(textOf(wrong)).toContain('timeout_seconds: ')
  expect(textOf(wrong)).toContain('"size"')
  await expect(client.callTool({ name: 'nothing', arguments: {} })).rejects.toThrow(
    "there is no tool 'nothing'",
  )
})

test('each request acts with the key that it carries, and sees the sandboxes of that team only', async () => {
  const { sandboxID: ours } = await t.create()
  const key = await t.inStore(async (store) => {
    const team = { id: 'another', name: 'another', slug: 'another', plan: 'unlimited', created_at: 1 }
    await store.insertInto('teams').values(team).execute()
    return (await new ApiKeyRepository(store).create('another', 'test')).key
  })
  const [mine, other] = [await connect(bearer(t.key)), await connect(bearer(key))]
  const ids = async (client: Client) => {
    const { structuredContent } = await client.callTool({ name: 'list_sandboxes', arguments: {} })
    return (structuredContent as { sandboxes: Array<{ sandbox_id: string }> }).sandboxes.map(
      (s) => s.sandbox_id,
    )
  }
  const made = await other.callTool({ name: 'create_sandbox', arguments: {} })
  const { sandbox_id: theirs } = made.structuredContent as { sandbox_id: string }
  expect(await Promise.all([ids(mine), ids(other), ids(mine)])).toEqual([[ours], [theirs], [ours]])
  const kill = await other.callTool({ name: 'kill_sandbox', arguments: { sandbox_id: ours } })
  expect(kill.structuredContent).toEqual({ sandbox_id: ours, killed: false })
})

test('without a valid key the answer is 401, and says how to authenticate', async () => {
  const { accessToken } = await t.logIn()
  const wrong = ['', `Bearer e2b_${'0'.repeat(40)}`, 'Basic abc', `Bearer ${accessToken}`]
  for (const authorization of wrong) {
    const answer = await post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, { authorization })
    expect([answer.status, answer.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="Sandlot"'])
  }
})

test('pages of other origins are refused, and those of this machine may read the session', async () => {
  const ping = { jsonrpc: '2.0', id: 1, method: 'ping' }
  expect((await post(ping, { origin: 'https://evil.example' })).status).toBe(403)
  const answer = await post(ping, { origin: 'http://localhost:6274' })
  expect(answer.status).toBe(200)
  expect(answer.headers.get('access-control-expose-headers')).toContain('Mcp-Session-Id')
})

test('GET is 405, a body over 8 MiB 413, and what is not JSON 415 or 400', async () => {
  const get = await fetch(url, { headers: bearer(t.key) })
  expect([get.status, get.headers.get('allow')]).toEqual([405, 'POST, DELETE'])
  expect((await post('x'.repeat(9 * 1024 * 1024))).status).toBe(413)
  expect((await fetch(url, { method: 'POST', headers: bearer(t.key), body: '{' })).status).toBe(415)
  const headers = { ...bearer(t.key), 'content-type': 'application/json' }
  expect((await fetch(url, { method: 'POST', headers, body: '{' })).status).toBe(400)
})
