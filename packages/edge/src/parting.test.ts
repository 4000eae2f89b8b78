import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request, type Server, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { ENVD_PORT } from '@sandlot/protocol'
import type { GoneReason } from '@sandlot/protocol/directory'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { newAddress, startEdge, startEnvd, textOf } from './test-support/sandbox-world.ts'

const ADDRESS = newAddress()
const HOST = `${ENVD_PORT}-ilive.sandlot.localhost`
const KILLED = 'The sandbox was killed or reached its end of life while the request was in flight'
let world: Awaited<ReturnType<typeof startEdge>>
let envd: Server
let session: ClientHttp2Session
/** The sandbox's side of the newest request. */
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
  /** The whole body, or `broken` when the connection broke. */
  body: Promise<Buffer | 'broken'>
  /** Resolves when so many bytes of the body have arrived. */
  has: (sizeBytes: number) => Promise<void>
}

type Send = (path: string, onBytes?: (count: number) => void) => Promise<Call>

async function collected(
  stream: NodeJS.ReadableStream,
  onBytes: (count: number) => void = () => {},
): Promise<Pick<Call, 'body' | 'has'>> {
  const chunks: Buffer[] = []
  const size = () => Buffer.concat(chunks).length
  stream.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    onBytes(chunk.length)
  })
  const body = new Promise<Buffer | 'broken'>((resolve) => {
    stream.once('end', () => resolve(Buffer.concat(chunks)))
    stream.once('error', () => resolve('broken'))
    stream.once('aborted', () => resolve('broken'))
  })
  return { body, has: (sizeBytes) => expect.poll(size).toBeGreaterThanOrEqual(sizeBytes) }
}

const overHttp1: Send = async (path, onBytes) => {
  const asked = request({
    port: world.port,
    host: '127.0.0.1',
    path,
    method: 'POST',
    headers: { host: HOST },
  })
  asked.end()
  const [response] = await once(asked, 'response')
  return { status: response.statusCode, headers: response.headers, ...(await collected(response, onBytes)) }
}

const overHttp2: Send = async (path, onBytes) => {
  const stream = session.request({ ':authority': HOST, ':path': path, ':method': 'POST' })
  stream.end()
  const [headers] = await once(stream, 'response')
  return { status: headers[':status'], headers, ...(await collected(stream, onBytes)) }
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
])('when a sandbox goes away, over %s,', (_, send) => {
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

  it('an incomplete message does not reach the client, however it was split', async () => {
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

  it('a stream that has ended does not get a second end message', async () => {
    const call = await send('/stream')
    const last = messageOf('{}', 2)
    answer.write(last)
    await call.has(last.length)
    end()
    expect(messagesIn((await call.body) as Buffer)).toEqual([[2, '{}']])
  })

  it('a message that is too long to hold back is cut off', async () => {
    const call = await send('/stream')
    answer.write(messageOf('x'.repeat(300 * 1024)).subarray(0, 299 * 1024))
    await call.has(290 * 1024)
    end()
    expect(await call.body).toBe('broken')
  })

  it('at most 4 MiB of incomplete messages are held back for a sandbox, and the memory is freed when the streams end', async () => {
    const half = messageOf('x'.repeat(200 * 1024)).subarray(0, 199 * 1024)
    const calls = []
    let passed = 0
    for (let i = 0; i < 40; i++) {
      calls.push(await send('/stream', (bytes) => (passed += bytes)))
      answer.write(half)
    }
    await expect.poll(() => passed).toBeGreaterThan(40 * half.length - 4.5 * 1024 * 1024)
    expect(passed).toBeLessThan(40 * half.length - 3 * 1024 * 1024)
    end()
    await Promise.all(calls.map(({ body }) => body))
    world.directory.add({ sandboxId: 'ilive', address: ADDRESS })
    const call = await send('/stream')
    answer.write(half)
    end()
    expect(messagesIn((await call.body) as Buffer)).toEqual([lastMessage(KILLED)])
  })

  it('an answer that is not a stream of messages is cut off', async () => {
    for (const path of ['/file', '/zip']) {
      world.directory.add({ sandboxId: 'ilive', address: ADDRESS })
      const call = await send(path)
      answer.write('part')
      await call.has(4)
      end()
      expect(await call.body).toBe('broken')
    }
  })

  it('a request without an answer gets one that tells clients not to repeat the request', async () => {
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

  it('that ends by itself, streams end with an error too', async () => {
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

  it('long streams are forwarded unchanged', async () => {
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

describe('a client that does not read', () => {
  const IDLE_MS = 300
  let hasty: Awaited<ReturnType<typeof startEdge>>
  let hastySession: ClientHttp2Session
  beforeAll(async () => {
    hasty = await startEdge({ idleTimeoutMs: IDLE_MS })
    hasty.directory.add({ sandboxId: 'ilive', address: ADDRESS })
    const ca = readFileSync(hasty.tls.caPath)
    hastySession = connectHttp2(`https://127.0.0.1:${hasty.port}`, { ca, servername: HOST })
  })
  afterAll(async () => {
    hastySession.destroy()
    await hasty.close()
  })

  /** Requests a stream, and reads only the head of the answer. */
  const ask = {
    'HTTP/1.1': async (path: string) => {
      const asked = request({ port: hasty.port, host: '127.0.0.1', path, headers: { host: HOST } })
      asked.end()
      return (await once(asked, 'response'))[0] as NodeJS.ReadableStream
    },
    'HTTP/2': async (path: string) => {
      const stream = hastySession.request({ ':authority': HOST, ':path': path })
      stream.end()
      await once(stream, 'response')
      return stream
    },
  }

  const outcomeOf = (stream: NodeJS.ReadableStream) =>
    new Promise<string>((resolve) => {
      stream.once('error', () => resolve('broken'))
      stream.once('end', () => resolve('whole'))
    })

  it.each([
    ['its sandbox has gone', 'HTTP/1.1', () => hasty.directory.kill('ilive')],
    ['its sandbox has gone', 'HTTP/2', () => hasty.directory.kill('ilive')],
    ['it was idle for too long', 'HTTP/1.1', () => {}],
    ['it was idle for too long', 'HTTP/2', () => {}],
  ] as const)('does not keep its connection when %s, over %s', async (_why, version, act) => {
    hasty.directory.add({ sandboxId: 'ilive', address: ADDRESS })
    const stream = await ask[version]('/stream')
    const outcome = outcomeOf(stream)
    const message = messageOf('x'.repeat(64 * 1024))
    let given = 0
    const give = () => {
      for (given++; answer.write(message); given++);
      answer.once('drain', give)
    }
    give()
    // Waits until all system buffers on the way are full.
    for (let before = -1; before !== given; await sleep(IDLE_MS / 4)) before = given
    act()
    await sleep(5 * IDLE_MS)
    stream.resume()
    expect(await outcome).toBe('broken')
  })

  it.each(['/stream', '/file'])('does not keep an answer to %s that the sandbox has ended', async (path) => {
    hasty.directory.add({ sandboxId: 'ilive', address: ADDRESS })
    const outcomes: Promise<string>[] = []
    // The sizes leave the rest of the answer in one buffer of the edge up to all of them; the client reads 64
    // KiB by itself.
    for (let sizeKiB = 72; sizeKiB < 320; sizeKiB += 24) {
      const stream = await ask['HTTP/2'](path)
      outcomes.push(outcomeOf(stream).finally(() => stream.resume()))
      answer.end(messageOf('x'.repeat(sizeKiB * 1024)))
    }
    await sleep(5 * IDLE_MS)
    expect([...new Set(await Promise.all(outcomes))]).toEqual(['broken'])
  })
})

it('streams break when the server stops, as their sandbox keeps running', async () => {
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
