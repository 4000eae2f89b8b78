import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { SandboxNotFoundError } from '../errors.ts'
import { Sandbox } from './sandbox.ts'

const record = (name: string) => ({
  recordID: `r-${name}`,
  startedAt: '2026-01-02T03:04:05.678Z',
  durationMs: 3,
  protocol: 'tls',
  name,
  address: '192.0.2.1',
  port: 443,
  bytesOut: 1,
  bytesIn: 2,
  verdict: 'denied',
  rule: 'deny 0.0.0.0/0',
})
const page = (names: string[], nextCursor: string, hasMore = false) => ({
  status: 200,
  body: { records: names.map(record), nextCursor, hasMore },
})
const MISSING = { status: 404, body: { code: 404, message: 'Sandbox "iabc" doesn\'t exist' } }

let server: Server
let sandbox: Sandbox
let asked: { method?: string; path: string; query: Record<string, string>; body?: unknown }[]
let answers: { status: number; body?: unknown }[]

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const url = new URL(request.url ?? '', 'http://server')
    const hasBody = request.headers['content-type'] === 'application/json'
    const body = hasBody ? await json(request) : undefined
    asked.push({
      method: request.method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      ...(hasBody && { body }),
    })
    const answer = answers.shift()!
    response.writeHead(answer.status, { 'content-type': 'application/json' })
    response.end(answer.body === undefined ? undefined : JSON.stringify(answer.body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  sandbox = new Sandbox({ sandboxId: 'iabc', envdVersion: '0.6.13', apiKey: 'e2b_1', apiUrl })
})
beforeEach(() => void (asked = []))
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

test('pages come from the oldest record to the newest', async () => {
  answers = [page(['a', 'b'], '2', true), page(['c'], '3')]
  const pages = sandbox.egress({ verdict: 'denied', name: '*.a.com', protocol: 'tls', limit: 2 })
  const first = await pages.nextItems()
  const { recordID, startedAt, ...rest } = record('a')
  expect(first[0]).toEqual({ recordId: recordID, startedAt: new Date(startedAt), ...rest })
  expect([pages.hasNext, pages.nextToken]).toEqual([true, '2'])
  expect((await pages.nextItems()).map(({ name }) => name)).toEqual(['c'])
  expect([pages.hasNext, pages.nextToken]).toEqual([false, '3'])
  await expect(pages.nextItems()).rejects.toThrow('No more items')
  const filter = { verdict: 'denied', name: '*.a.com', protocol: 'tls', limit: '2' }
  expect(asked.map(({ query }) => query)).toEqual([
    { ...filter, since: '1970-01-01T00:00:00.000Z' },
    { ...filter, cursor: '2' },
  ])
})

test('can be iterated, and followed until the sandbox has ended', async () => {
  answers = [
    page(['a'], '1'),
    page([], '1'),
    { status: 200, body: { sandboxID: 'iabc' } },
    page(['b'], '2'),
    page([], '2'),
    MISSING,
  ]
  const names: Array<string | undefined> = []
  for await (const { name } of sandbox.egress({ follow: true, since: new Date(5) })) names.push(name)
  expect(names).toEqual(['a', 'b'])
  expect(asked.filter(({ path }) => path.endsWith('egress')).map(({ query }) => query.follow)).toEqual(
    Array.from({ length: 4 }, () => 'true'),
  )
})

test('an unknown sandbox is an error', async () => {
  answers = [MISSING]
  await expect(sandbox.egress().nextItems()).rejects.toThrow(SandboxNotFoundError)
})

test('an update of the network sends whether open connections are cut', async () => {
  answers = [{ status: 204 }, { status: 204 }]
  await sandbox.updateNetwork({ denyOut: ['1.1.1.1'], dnsServers: [] }, { closeExisting: true })
  await sandbox.updateNetwork({})
  expect(asked.map(({ body }) => body)).toEqual([
    { denyOut: ['1.1.1.1'], dnsServers: [], closeExisting: true },
    {},
  ])
})

test("information about the network has what E2B's has, TLS of the proxy and DNS servers", async () => {
  const network = {
    allowPublicTraffic: null,
    dnsServers: ['1.1.1.1'],
    egressProxy: { address: 'p:1', username: 'u', tls: { enabled: true, serverName: 'p' } },
  }
  const detail = { sandboxID: 'iabc', startedAt: '2026-01-01T00:00:00Z', endAt: '2026-01-01T00:00:00Z' }
  answers = [{ status: 200, body: { ...detail, network, warnings: ['w'] } }]
  const info = await sandbox.getInfo()
  expect(info.network).toEqual({ ...network, allowPublicTraffic: undefined })
  expect(info.warnings).toEqual(['w'])
})
