import { readFileSync } from 'node:fs'
import { Client as OldClient } from '@modelcontextprotocol/sdk/client/index.js'
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectClient, fixture, startGateway, TOKEN, textOf } from '../test-support/gateway-under-test.ts'

let running: Awaited<ReturnType<typeof startGateway>>

beforeAll(async () => {
  running = await startGateway({ one: fixture('one') })
}, 60_000)

afterAll(() => running.stop())

const post = (body: unknown, headers: Record<string, string> = {}) =>
  fetch(`${running.url}/mcp`, {
    method: 'POST',
    headers: {
      ...running.headers,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })

const initialize = (protocolVersion = '2025-06-18') => ({
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion, capabilities: {}, clientInfo: { name: 'raw', version: '1' } },
})

/** Opens a session without an SDK, and returns its headers. */
async function openSession(): Promise<Record<string, string>> {
  const answer = await post(initialize())
  await answer.text()
  const headers = {
    'mcp-session-id': answer.headers.get('mcp-session-id')!,
    'mcp-protocol-version': '2025-06-18',
  }
  await post({ jsonrpc: '2.0', method: 'notifications/initialized' }, headers)
  return headers
}

describe('the token', () => {
  test.each([undefined, 'Bearer wrong', `Basic ${TOKEN}`, 'Bearer', `Bearer ${TOKEN}x`])(
    'is needed: %s is refused',
    async (authorization) => {
      for (const path of ['/mcp', '/sse', '/messages', '/elsewhere']) {
        const answer = await fetch(running.url + path, {
          method: path === '/sse' ? 'GET' : 'POST',
          headers: authorization === undefined ? {} : { authorization },
        })
        expect(answer.status).toBe(401)
        expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="MCP Gateway"')
        expect(await answer.text()).toBe('Unauthorized\n')
      }
    },
  )

  test('is not needed for /health, which then says no more than that the gateway is up', async () => {
    expect(await (await fetch(`${running.url}/health`)).json()).toEqual({ status: 'ok' })
    const details = await (await fetch(`${running.url}/health`, { headers: running.headers })).json()
    expect(details).toMatchObject({ status: 'ok', servers: { one: { state: 'ready' } } })
  })
})

describe('a body', () => {
  test('of more than 8 MiB is refused, whether or not its length is known', async () => {
    const huge = 'x'.repeat(9 * 1024 * 1024)
    expect((await post(huge)).status).toBe(413)
    const endless = new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024)),
    })
    const answer = fetch(`${running.url}/mcp`, {
      method: 'POST',
      headers: running.headers,
      body: endless,
      duplex: 'half',
    } as RequestInit)
    // the gateway answers and closes; whether the client sees the answer first is up to it
    expect(await answer.then(({ status }) => status).catch(() => 413)).toBe(413)
  })

  test('that is not JSON, or no message, is refused', async () => {
    expect((await post('{')).status).toBe(400)
    expect((await post('[]')).status).toBe(400)
    expect((await post({ jsonrpc: '2.0' })).status).toBe(400)
  })
})

test.each(['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25'])(
  'agrees on revision %s with a client that wants it',
  async (revision) => {
    const answer = await (await post(initialize(revision))).text()
    expect(answer).toContain(`"protocolVersion":"${revision}"`)
  },
)

test('offers its newest revision with sessions to a client that wants an unknown one', async () => {
  expect(await (await post(initialize('2031-01-01'))).text()).toContain('"protocolVersion":"2025-11-25"')
})

describe('a session', () => {
  test('that is unknown is refused with 404, so that the client starts another one', async () => {
    const answer = await post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, { 'mcp-session-id': 'nobody' })
    expect(answer.status).toBe(404)
  })

  test('ends by DELETE', async () => {
    const headers = await openSession()
    const ended = await fetch(`${running.url}/mcp`, {
      method: 'DELETE',
      headers: { ...running.headers, ...headers },
    })
    expect(ended.status).toBe(200)
    expect((await post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, headers)).status).toBe(404)
  })

  test('gets what it missed after the last event that it saw', async () => {
    const headers = await openSession()
    const abort = new AbortController()
    const lost = await fetch(`${running.url}/mcp`, {
      method: 'POST',
      headers: {
        ...running.headers,
        ...headers,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 7,
        method: 'tools/call',
        params: { name: 'progress', arguments: { pauseMs: 200 }, _meta: { progressToken: 'p' } },
      }),
      signal: abort.signal,
    })
    const reader = lost.body!.getReader()
    const first = new TextDecoder().decode((await reader.read()).value)
    abort.abort()
    const lastSeen = /^id: (\S+)/m.exec(first)![1]!
    const resumed = await fetch(`${running.url}/mcp`, {
      headers: { ...running.headers, ...headers, accept: 'text/event-stream', 'last-event-id': lastSeen },
    })
    expect(first).not.toContain('"progress":3')
    let seen = first
    const decoder = new TextDecoder()
    for await (const chunk of resumed.body! as unknown as AsyncIterable<Uint8Array>) {
      seen += decoder.decode(chunk)
      if (seen.includes('"id":7')) break
    }
    expect(seen).toContain('"progress":3')
    expect(seen).toContain('"text":"done"')
  })

  test('of another client cannot be resumed', async () => {
    const [mine, other] = [await openSession(), await openSession()]
    const answer = await post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, mine)
    const id = /^id: (\S+)/m.exec(await answer.text())![1]!
    const stolen = await fetch(`${running.url}/mcp`, {
      headers: { ...running.headers, ...other, accept: 'text/event-stream', 'last-event-id': id },
    })
    expect(stolen.status).toBeGreaterThanOrEqual(400)
  })

  test('makes room for others: of 1,000 sessions the 256 that were used last go on', async () => {
    const first = await openSession()
    for (let batch = 0; batch < 20; batch++) {
      await Promise.all(Array.from({ length: 50 }, async () => (await post(initialize())).text()))
    }
    expect(running.http.sessions.size).toBeLessThanOrEqual(256)
    expect((await post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, first)).status).toBe(404)
    expect((await post({ jsonrpc: '2.0', id: 1, method: 'tools/list' }, await openSession())).status).toBe(
      200,
    )
  }, 60_000)

  test('keeps no more events than fit in 16 MiB', async () => {
    const client = await connectClient(running.url)
    for (let index = 0; index < 12; index++) {
      await client.callTool({ name: 'big', arguments: { bytes: 2 * 1024 * 1024 } })
    }
    expect(running.http.sessions.events.sizeBytes).toBeLessThanOrEqual(16 * 1024 * 1024)
    await client.close()
  })
})

describe('clients of the SDK before', () => {
  const requestInit = { headers: { authorization: `Bearer ${TOKEN}` } }

  test('by streamable HTTP', async () => {
    const client = new OldClient({ name: 'old', version: '1' })
    await client.connect(new StreamableHTTPClientTransport(new URL(`${running.url}/mcp`), { requestInit }))
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain('whoami')
    expect(textOf(await client.callTool({ name: 'whoami' }))).toMatch(/^one /)
    await client.close()
  })

  test('by SSE', async () => {
    const client = new OldClient({ name: 'old', version: '1' }, { capabilities: { sampling: {} } })
    const sampled = {
      role: 'assistant' as const,
      model: 'm',
      content: { type: 'text' as const, text: 'by SSE' },
    }
    const { CreateMessageRequestSchema } = await import('@modelcontextprotocol/sdk/types.js')
    client.setRequestHandler(CreateMessageRequestSchema, () => sampled)
    await client.connect(new SSEClientTransport(new URL(`${running.url}/sse`), { requestInit }))
    expect(textOf(await client.callTool({ name: 'whoami' }))).toMatch(/^one /)
    expect(textOf(await client.callTool({ name: 'sample' }))).toContain('by SSE')
    await client.close()
  })
})

describe('another gateway as a remote server', () => {
  test.each(['streamable-http', 'sse'] as const)('over %s', async (transport) => {
    const url = running.url + (transport === 'sse' ? '/sse' : '/mcp')
    const headers = { authorization: `Bearer ${TOKEN}` }
    const outer = await startGateway({ inner: { kind: 'remote', transport, url, headers } })
    const client = await connectClient(outer.url)
    expect(textOf(await client.callTool({ name: 'only_one' }))).toBe('one')
    await client.close()
    await outer.stop()
  })

  test('with a wrong token fails, and says so', async () => {
    const launch = {
      kind: 'remote' as const,
      transport: 'streamable-http' as const,
      url: `${running.url}/mcp`,
      headers: {},
    }
    const outer = await startGateway({ inner: launch })
    expect(outer.gateway.servers[0]!.state).toBe('restarting')
    await outer.gateway.log.written()
    expect(readFileSync(`${outer.folder}/gateway.log`, 'utf8')).toContain('nauthorized')
    await outer.stop()
  })
})
