import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const folder = mkdtempSync(join(tmpdir(), 'sandlot-packages-'))
const path = join(folder, 'e2b.tgz')
const content = Buffer.from([0x1f, 0x8b, 0, 255, 1])
writeFileSync(path, content)
afterAll(() => rmSync(folder, { recursive: true }))

const under = serverUnderTest({
  clientPackages: { 'e2b.tgz': { path, hash: 'abc123' }, 'e2b-cli.tgz': { missing: 'its build failed' } },
})
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

test('a package is served without a key, unchanged', async () => {
  const { statusCode, headers, rawPayload } = await t.server.fastify.inject('/npm/e2b.tgz')
  expect([statusCode, rawPayload]).toEqual([200, content])
  expect(headers).toMatchObject({
    'content-type': 'application/gzip',
    'content-length': '5',
    etag: '"abc123"',
    'cache-control': 'public, no-cache',
  })
})

test('a client with the current package gets 304, and HEAD has no body', async () => {
  const known = await t.server.fastify.inject({
    url: '/npm/e2b.tgz',
    headers: { 'if-none-match': 'W/"abc123"' },
  })
  expect([known.statusCode, known.rawPayload.length]).toEqual([304, 0])
  const head = await t.server.fastify.inject({ method: 'HEAD', url: '/npm/e2b.tgz' })
  expect([
    head.statusCode,
    head.headers.etag,
    head.headers['content-length'],
    head.rawPayload.length,
  ]).toEqual([200, '"abc123"', '5', 0])
})

test.each([
  ['e2b-cli.tgz', 'its build failed'],
  ['other.tgz', 'there is e2b.tgz and e2b-cli.tgz'],
  ['..%2fdb.sqlite', 'there is e2b.tgz and e2b-cli.tgz'],
])('%s is a 404 that says why', async (file, reason) => {
  const answer = await t.server.fastify.inject(`/npm/${file}`)
  expect([answer.statusCode, answer.json().message]).toEqual([404, expect.stringContaining(reason)])
})
