import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { pooledFetch } from './pools.ts'

const CHUNK = new Uint8Array(1 << 20)
let stop = async () => {}

afterEach(() => stop())

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  stop = () => new Promise((resolve) => server.close(() => resolve()).closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** An endless stream that counts the chunks taken from it. */
function endless() {
  const taken = { chunks: 0 }
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      taken.chunks++
      controller.enqueue(CHUNK)
    },
  })
  return { body, taken }
}

const put = (url: string, body: ReadableStream, init: RequestInit = {}) =>
  pooledFetch('files')(url, { method: 'PUT', body, duplex: 'half', ...init } as RequestInit)

test('nothing more is taken from the stream while the server does not read', async () => {
  const { body, taken } = endless()
  const reached = Promise.withResolvers<void>()
  const url = await serve(() => reached.resolve())
  const abort = new AbortController()
  const sent = put(url, body, { signal: abort.signal })
  await reached.promise
  let before = -1
  while (taken.chunks !== before) {
    before = taken.chunks
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  // The socket buffers of both ends hold a few MiB; nothing else may be buffered in memory.
  expect(taken.chunks).toBeLessThan(32)
  abort.abort(new Error('enough'))
  await expect(sent).rejects.toThrow('enough')
})

test('status, headers and body of the answer arrive, and the request has the length that the caller gave', async () => {
  const url = await serve((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(201, { 'x-length': request.headers['content-length'] ?? 'none' }).end('done')
    })
  })
  const response = await put(url, new Blob(['abc']).stream(), { headers: { 'content-length': '3' } })
  expect([response.status, response.statusText, response.headers.get('x-length')]).toEqual([
    201,
    'Created',
    '3',
  ])
  expect(await response.text()).toBe('done')
  expect((await put(url, new Blob(['abc']).stream())).headers.get('x-length')).toBe('none')
})

test('an answer without a body', async () => {
  const url = await serve((request, response) =>
    request.resume().on('end', () => response.writeHead(204).end()),
  )
  const response = await put(url, new Blob(['abc']).stream())
  expect([response.status, response.body]).toEqual([204, null])
})

test('a refused connection fails with the error of fetch', async () => {
  const failed = put('http://127.0.0.1:1', new Blob(['abc']).stream())
  await expect(failed).rejects.toMatchObject({ name: 'TypeError', message: 'fetch failed' })
})
