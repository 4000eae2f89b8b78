import { once } from 'node:events'
import net from 'node:net'
import { afterAll, expect, test } from 'vitest'
import {
  apiKey,
  apiUrl,
  callApi,
  currentByUrl,
  describeClients,
  domain,
  fetchWithin,
  runId,
  sandboxUrl,
  sharedSandbox,
} from './official.ts'

const post = (path: string, body: unknown): Promise<Response> =>
  callApi(path, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'Content-Type': 'application/json' },
  })

/** Asserts the common shape of errors and returns the message. */
async function errorOf(response: Response, status: number | number[], what = ''): Promise<string> {
  const text = await response.text()
  expect([status].flat(), `${what}: ${text.slice(0, 300)}`).toContain(response.status)
  expect(response.headers.get('content-type'), what).toMatch(/^application\/json/)
  const body = JSON.parse(text) as { code: number; message: string }
  expect(body.code, what).toBe(response.status)
  expect(body.message, what).toEqual(expect.any(String))
  expect(text, what).not.toMatch(/\n\s+at |node_modules|\.ts:\d+|file:\/\//)
  return body.message
}

/** Sends bytes unchanged and returns the answer until the server closes or 5 s have passed. */
async function rawRequest(bytes: string): Promise<string> {
  const { hostname, port } = new URL(apiUrl)
  const socket = net.connect(Number(port), hostname)
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  socket.write(bytes)
  await once(socket, 'close', { signal: AbortSignal.timeout(5_000) }).catch(() => {})
  socket.destroy()
  return answer
}

describeClients(
  'bad input',
  (client) => {
    const sandbox = sharedSandbox(client)

    afterAll(async () => {
      for (const { sandboxId } of await client.e2b.Sandbox.list({
        query: { metadata: { runId } },
      }).nextItems()) {
        await client.e2b.Sandbox.kill(sandboxId)
      }
    }, 60_000)

    test.each([
      ['templateID', {}],
      ['templateID', { templateID: 7 }],
      ['templateID', { templateID: null }],
      ['timeout', { templateID: 'base', timeout: 'soon' }],
      ['timeout', { templateID: 'base', timeout: -1 }],
      ['timeout', { templateID: 'base', timeout: 1.5 }],
      ['metadata', { templateID: 'base', metadata: 'x' }],
      ['metadata', { templateID: 'base', metadata: { a: { b: 1 } } }],
      ['envVars', { templateID: 'base', envVars: ['A=B'] }],
      ['allow_internet_access', { templateID: 'base', allow_internet_access: 'no' }],
    ])('of the wrong type is answered with 400 that names %s', async (field, body) => {
      for (const path of ['/sandboxes', '/v2/sandboxes']) {
        expect(await errorOf(await post(path, body), 400, path)).toContain(field)
      }
    })

    test('that is not JSON, not an object or empty is answered with 400', async () => {
      for (const body of ['{"templateID":', '[]', '"text"', 'null', '', '\0', '{"__proto__":{"x":1}}']) {
        await errorOf(await post('/v2/sandboxes', body), 400, body)
      }
      const response = await callApi('/v2/sandboxes', {
        method: 'POST',
        body: '<xml/>',
        headers: { 'Content-Type': 'text/xml' },
      })
      await errorOf(response, [400, 415])
    })

    test('nested ten thousand deep is refused', async () => {
      const deep = `{"templateID":"base","metadata":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`
      await errorOf(await post('/v2/sandboxes', deep), [400, 413])
    })

    test('of a huge size is answered with 413', async () => {
      const huge = JSON.stringify({ templateID: 'base', metadata: { a: 'x'.repeat(20_000_000) } })
      await errorOf(await post('/v2/sandboxes', huge), 413)
    })

    test('in the query is answered with 400 that names the parameter', async () => {
      const bad = {
        state: 'sleeping',
        startedAfter: 'yesterday',
        order: 'sideways',
        nextToken: 'rubbish',
        template: 'base:tag',
      }
      for (const [name, value] of Object.entries(bad)) {
        const message = await errorOf(await callApi(`/v2/sandboxes?${name}=${value}`), 400, name)
        expect(message.toLowerCase()).toContain(
          name === 'nextToken' ? 'next token' : name === 'template' ? 'ta' : name.toLowerCase(),
        )
      }
    })

    test('as a page size is clamped', async () => {
      for (const limit of ['0', '-3', '100000']) {
        const response = await callApi(`/v2/sandboxes?limit=${limit}`)
        expect(response.status, limit).toBe(200)
        await response.json()
      }
    })

    test('for a timeout is answered with 400 that says what is allowed', async () => {
      const path = `/sandboxes/${sandbox().sandboxId}/timeout`
      for (const body of [{}, { timeout: 'x' }, { timeout: -1 }, { timeout: 1e300 }, { timeout: null }]) {
        expect(await errorOf(await post(path, body), 400, JSON.stringify(body))).toMatch(/timeout/i)
      }
      await errorOf(await post(`/sandboxes/${sandbox().sandboxId}/refreshes`, { duration: 999_999 }), 400)
      expect(await sandbox().isRunning()).toBe(true)
    })

    test.each([
      ['GET', '/no/such/route'],
      ['POST', '/v9/sandboxes'],
      ['PATCH', '/v2/sandboxes'],
      ['GET', '/sandboxes/..%2f..%2fetc%2fpasswd'],
      ['GET', '/sandboxes/%2e%2e%2f%2e%2e%2fdb.sqlite'],
      ['GET', '/sandboxes/%00'],
      ['DELETE', '/sandboxes/..%2f..%2f'],
      ['GET', '/sandboxes/i0123456789abcdefghij'],
      ['DELETE', '/sandboxes/i0123456789abcdefghij'],
      ['GET', `/sandboxes/${'x'.repeat(3_000)}`],
      ['GET', '/sandboxes/%F0%9F%92%A9'],
      ['GET', '/sandboxes/%ZZ'],
      ['GET', `/sandboxes/'%20OR%201=1--`],
    ])('%s %s is refused', async (method, path) => {
      const message = await errorOf(await callApi(path, { method }), [400, 404, 405, 414])
      expect(message.length).toBeLessThan(2_000)
    })

    test('without a key, with a wrong key or with text that is not a key is answered with 401', async () => {
      for (const key of [
        undefined,
        '',
        'x',
        `e2b_${'f'.repeat(40)}`,
        `${apiKey}0`,
        'e2b_\u00e4',
        'x'.repeat(9_000),
      ]) {
        const headers: Record<string, string> = key === undefined ? {} : { 'X-API-KEY': key }
        const response = await fetchWithin(`${apiUrl}/v2/sandboxes`, { headers })
        expect(await errorOf(response, 401, String(key).slice(0, 20))).not.toContain(apiKey)
      }
    })

    test('to the health check needs no key', async () => {
      const response = await fetchWithin(`${apiUrl}/health`)
      expect([response.status, await response.text()]).toEqual([204, ''])
    })

    test('with an invalid host is answered with 400 and the message of the edge', async () => {
      for (const [host, message] of [
        ['nothing', 'Invalid host'],
        ['99999-iabc', 'Invalid host'],
        ['0-iabc', 'Invalid host'],
        ['8000-UPPER_', 'Invalid sandbox ID'],
      ]) {
        const answer = await rawRequest(
          `GET / HTTP/1.1\r\nHost: ${host}.${domain}\r\nConnection: close\r\n\r\n`,
        )
        expect(answer, host).toMatch(/^HTTP\/1\.1 400/)
        expect(answer.toLowerCase(), host).toContain(message!.toLowerCase())
      }
    })

    test('that is not HTTP at all is answered and closed, and the server keeps running', async () => {
      const lines = [
        'rubbish\r\n\r\n',
        '\0\0\0\0',
        'GET / HTTP/9.9\r\n\r\n',
        `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
        `GET /health HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(20_000)}\r\n`,
        'POST /v2/sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n',
        'POST /v2/sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n',
        '\x16\x03\x01\x00\x05rubbish',
      ]
      for (const line of lines) {
        expect(await rawRequest(line), JSON.stringify(line.slice(0, 60))).not.toMatch(/^HTTP\/1\.1 (200|201)/)
      }
      expect((await fetchWithin(`${apiUrl}/health`)).status).toBe(204)
    }, 60_000)

    test('with invalid routing headers is answered with 400', async () => {
      for (const [id, port] of [
        ['../x', '80'],
        [sandbox().sandboxId, '0'],
        [sandbox().sandboxId, '65536'],
        [sandbox().sandboxId, '80; rm'],
        [sandbox().sandboxId, '-1'],
        ['', '80'],
      ]) {
        const headers = { 'E2b-Sandbox-Id': id!, 'E2b-Sandbox-Port': port! }
        const response = await fetchWithin(`${sandboxUrl}/`, { headers })
        expect([400, 502], `${id} ${port}`).toContain(response.status)
        await response.body?.cancel()
      }
    })

    test('to parts that are not implemented yet is answered with 501 that says so', async () => {
      const headers = { 'X-API-KEY': apiKey }
      await errorOf(await fetchWithin(`${apiUrl}/events/webhooks`, { headers }), 501, 'webhooks')
    })

    test('describes valid requests at /openapi.json', async () => {
      const response = await fetchWithin(`${apiUrl}/openapi.json`)
      const document = (await response.json()) as { openapi: string; paths: Record<string, unknown> }
      expect(document.openapi).toMatch(/^3\./)
      expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/v2/sandboxes', '/sandboxes']))
    })
  },
  [currentByUrl],
)
