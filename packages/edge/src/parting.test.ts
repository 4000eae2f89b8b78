import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request, type Server, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { ENVD_PORT } from '@sandlot/protocol'
import type { GoneReason } from '@sandlot/server/directory'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startEdge, startEnvd, textOf } from './test-support/sandbox-world.ts'

const ADDRESS = '127.0.1.21'
const HOST = `${ENVD_PORT}-ilive.sandlot.localhost`
const KILLED = 'The sandbox was killed or reached its end of life while the request was in flight'
let world: Awaited<ReturnType<typeof startEdge>>
let envd: Server
let session: ClientHttp2Session
/** The sandbox's side of the request that came last. */
let answer: ServerResponse

function messageOf(text: string, flags = 0): Buffer {
  const message = Buffer.alloc(5 + text.length, text)
  message.writeUInt8(flags, 0)
  message.writeUInt32BE(text.length, 1)
  message.write(text, 5)
  return message
}

/** Flags and text of each whole message; fails when something else follows. */
function messagesIn(body: Buffer): [flags: number, text: string][] {
  const messages: [number, string][] = []
  let at = 0
  while (at < body.length) {
    const end = at + 5 + body.readUInt32BE(at + 1)
    expect(end).toBeLessThanOrEqual(body.length)
    messages.push([body[at]!, body.subarray(at + 5, end).toString()])
    at = end
  }
  return messages
}

const lastMessage = (message: string, code = 'unavailable'): [number, string] => [
  2,
  JSON.stringify({ error: { code, message } }),
]

interface Call {
  status: number
  headers: Record<string, unknown>
  /** Whole, or `broken` when the connection broke. */
  body: Promise<Buffer | 'broken'>
  /** Resolves when so many bytes of the body are there. */
  has: (sizeBytes: number) => Promise<void>
}

type Send = (path: string) => Promise<Call>

async function collected(stream: NodeJS.ReadableStream): Promise<Pick<Call, 'body' | 'has'>> {
  const chunks: Buffer[] = []
  const size = () => Buffer.concat(chunks).length
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  const body = new Promise<Buffer | 'broken'>((resolve) => {
    stream.once('end', () => resolve(Buffer.concat(chunks)))
    stream.once('error', () => resolve('broken'))
    stream.once('aborted', () => resolve('broken'))
  })
  return { body, has: (sizeBytes) => expect.poll(size).toBeGreaterThanOrEqual(sizeBytes) }
}

const overHttp1: Send = async (path) => {
  const asked = request({
    port: world.port,
    host: '127.0.0.1',
    path,
    method: 'POST',
    headers: { host: HOST },
  })
  asked.end()
  const [response] = await once(asked, 'response')
  return { status: response.statusCode, headers: response.headers, ...(await collected(response)) }
}

const overHttp2: Send = async (path) => {
  const stream = session.request({ ':authority': HOST, ':path': path, ':method': 'POST' })
  stream.end()
  const [headers] = await once(stream, 'response')
  return { status: headers[':status'], headers, ...(await collected(stream)) }
}

const end = (reason?: GoneReason) => world.directory.kill('ilive', reason)

beforeAll(async () => {
  world = await startEdge()
  envd = await startEnvd(ADDRESS, (req, res) => {
    answer = res
    if (req.url === '/silent') return
    const type = req.url === '/file' ? 'application/octet-stream' : 'application/connect+json'
    res.writeHead(200, { 'content-type': type, ...(req.url === '/zip' && { 'content-encoding': 'gzip' }) })
    res.flushHeaders()
  })
  session = connectHttp2(`https://127.0.0.1:${world.port}`, {
    ca: readFileSync(world.tls.caPath),
    servername: HOST,
  })
})

beforeEach(() => world.directory.add({ sandboxId: 'ilive', address: ADDRESS }))

afterAll(async () => {
  session.destroy()
  await world.close()
  envd.close()
})

describe.each([
  ['HTTP/1.1', overHttp1],
  ['HTTP/2', overHttp2],
])('when a sandbox goes, over %s,', (_, send) => {
  it.each([
    ['ended', lastMessage(KILLED)],
    ['paused', lastMessage('The sandbox was paused while the request was in flight')],
    ['rolled back', lastMessage('The sandbox was rolled back while the request was in flight', 'aborted')],
  ] as const)('a stream of envd ends with an error that says that it was %s', async (reason, last) => {
    const call = await send('/stream')
    answer.write(messageOf('one'))
    await call.has(8)
    end(reason)
    expect(messagesIn((await call.body) as Buffer)).toEqual([[0, 'one'], last])
  })

  it('half a message does not reach the client, whatever pieces it came in', async () => {
    const whole = Buffer.concat([messageOf('one'), messageOf('two')])
    for (let cut = 0; cut < whole.length; cut++) {
      world.directory.add({ sandboxId: 'ilive', address: ADDRESS })
      const call = await send('/stream')
      for (let at = 0; at < cut; at += 3) answer.write(whole.subarray(at, Math.min(cut, at + 3)))
      await call.has(cut < 8 ? 0 : 8)
      end()
      const before = cut < 8 ? [] : [[0, 'one']]
      expect(messagesIn((await call.body) as Buffer)).toEqual([...before, lastMessage(KILLED)])
    }
  }, 40_000)

  it('a stream that has ended gets no second end', async () => {
    const call = await send('/stream')
    const last = messageOf('{}', 2)
    answer.write(last)
    await call.has(last.length)
    end()
    expect(messagesIn((await call.body) as Buffer)).toEqual([[2, '{}']])
  })

  it('a message that is too long to be held breaks off', async () => {
    const call = await send('/stream')
    answer.write(messageOf('x'.repeat(300 * 1024)).subarray(0, 299 * 1024))
    await call.has(290 * 1024)
    end()
    expect(await call.body).toBe('broken')
  })

  it('what is no stream of messages breaks off', async () => {
    for (const path of ['/file', '/zip']) {
      world.directory.add({ sandboxId: 'ilive', address: ADDRESS })
      const call = await send(path)
      answer.write('part')
      await call.has(4)
      end()
      expect(await call.body).toBe('broken')
    }
  })

  it('a request without an answer gets one, and is not to be repeated', async () => {
    for (const [reason, message] of [
      ['ended', 'The sandbox was not found'],
      ['paused', 'The sandbox was not found'],
      ['rolled back', 'The sandbox was rolled back while the request was in flight'],
    ] as const) {
      world.directory.add({ sandboxId: 'ilive', address: ADDRESS })
      const arrived = once(envd, 'request')
      const asked = send('/silent')
      await arrived
      end(reason)
      const call = await asked
      expect([call.status, call.headers['should-retry']]).toEqual([502, 'false'])
      expect(JSON.parse(String(await call.body))).toEqual({ sandboxId: 'ilive', message, code: 502 })
    }
  })

  it('on its own, streams end with an error too', async () => {
    const call = await send('/stream')
    answer.write(messageOf('one'))
    answer.write(messageOf('half').subarray(0, 7))
    await call.has(8)
    answer.destroy()
    const [, last] = messagesIn((await call.body) as Buffer)
    expect(JSON.parse(last![1]).error).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('or the connection to it was lost'),
    })
  })

  it('long streams have passed unchanged', async () => {
    const call = await send('/stream')
    const sent = Array.from({ length: 200 }, (_, i) => messageOf(String(i % 10).repeat(i * 997)))
    answer.end(Buffer.concat([...sent, messageOf('{}', 2)]))
    const got = messagesIn((await call.body) as Buffer)
    expect(got.map(([flags, text]) => [flags, text.length])).toEqual([
      ...sent.map((_, i) => [0, i * 997]),
      [2, 2],
    ])
  })
})

it('streams break when the server goes, as their sandbox lives on', async () => {
  const other = await startEdge()
  other.directory.add({ sandboxId: 'ilive', address: ADDRESS })
  const asked = request({ port: other.port, host: '127.0.0.1', path: '/stream', headers: { host: HOST } })
  asked.on('error', () => {})
  asked.end()
  const [response] = await once(asked, 'response')
  const body = textOf(response)
  answer.write(messageOf('one'))
  await once(response, 'readable')
  await other.close()
  await expect(body).rejects.toThrow('aborted')
})
