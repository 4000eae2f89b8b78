import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { askUncompressed, BoundedResponse, MessageLengths } from './bounded-response.ts'

const MEBIBYTE = 1024 * 1024
let body: Buffer[] = []
let head: (response: ServerResponse) => unknown = () => {}
const server = createServer({ ServerResponse: BoundedResponse }, (request, response) => {
  request.resume()
  head(response)
  for (const piece of body) response.write(piece)
  response.end()
})
let url: string
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const message = (sizeBytes: number) => {
  const bytes = Buffer.alloc(5 + sizeBytes)
  bytes.writeUInt32BE(sizeBytes, 1)
  return bytes
}

/** @returns bytes of the whole answer; undefined when it broke off */
async function sizeOf(path: string, pieces: Buffer[], contentType = 'application/json') {
  body = pieces
  const headers = { 'content-type': contentType }
  const init = { method: 'POST', headers, body: '{}' }
  return fetch(url + path, init)
    .then((answer) => answer.arrayBuffer())
    .then(({ byteLength }) => byteLength)
    .catch(() => undefined)
}

test.each<[string, (response: ServerResponse) => unknown]>([
  ['a redirect', (response) => response.writeHead(307, 'Go', ['Location', 'http://127.0.0.1:9/'])],
  ['a compressed body', (response) => response.writeHead(200, 'OK', ['Content-Encoding', 'gzip'])],
  ['a compressed body by name', (response) => response.writeHead(200, { 'content-encoding': 'br' })],
  ['a compressed body set before', (response) => response.setHeader('Content-Encoding', 'deflate')],
])('%s never arrives', async (_name, write) => {
  head = write
  onTestFinished(() => void (head = () => {}))
  body = [Buffer.from('{}')]
  await expect(fetch(url, { redirect: 'manual' })).rejects.toThrow('fetch failed')
})

test('a request is passed on as one for an answer without compression', () => {
  const request = {
    headers: { 'accept-encoding': 'gzip, br' } as Record<string, string>,
    rawHeaders: ['Host', 'a', 'Accept-Encoding', 'gzip, br'],
  }
  askUncompressed(request as never)
  expect(request.headers['accept-encoding']).toBe('identity')
  expect(request.rawHeaders).toEqual(['Host', 'a', 'Accept-Encoding', 'identity'])
})

test('an answer that says that it is not compressed arrives', async () => {
  head = (response) => response.writeHead(200, 'OK', ['Content-Encoding', 'identity'])
  onTestFinished(() => void (head = () => {}))
  expect(await sizeOf('/files', [Buffer.from('{}')])).toBe(2)
})

test.each([
  ['/filesystem.Filesystem/ListDir', 4],
  ['/v2/sandboxes', 4],
  ['/files?path=a', 16],
])('an answer of %s may have %i MiB', async (path, mebibytes) => {
  const pieces = Array.from({ length: mebibytes }, () => Buffer.alloc(MEBIBYTE))
  expect(await sizeOf(path, pieces)).toBe(mebibytes * MEBIBYTE)
  expect(await sizeOf(path, [...pieces, Buffer.alloc(1)])).toBeUndefined()
})

test('a stream of messages may have 32 MiB, and none of its messages more than 1 MiB', async () => {
  const stream = (pieces: Buffer[]) => sizeOf('/process.Process/Start', pieces, 'application/connect+json')
  const pieces = Array.from({ length: 31 }, () => message(MEBIBYTE))
  expect(await stream(pieces)).toBe(31 * (MEBIBYTE + 5))
  expect(await stream([...pieces, message(MEBIBYTE)])).toBeUndefined()
  // as long as its envelope says, whether or not the rest ever comes
  expect(await stream([message(MEBIBYTE + 1).subarray(0, 5)])).toBeUndefined()
  expect(await stream([message(2 * MEBIBYTE)])).toBeUndefined()
})

test('lengths are read however the stream is divided', () => {
  const stream = Buffer.concat([message(3), message(0), message(300), message(7)])
  for (const step of [1, 2, 5, 6, 1000]) {
    const lengths = new MessageLengths()
    let longest = 0
    for (let at = 0; at < stream.length; at += step)
      longest = Math.max(longest, lengths.add(stream.subarray(at, at + step)))
    expect(longest).toBe(300)
  }
})
