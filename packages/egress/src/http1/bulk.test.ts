import { createHash, randomBytes } from 'node:crypto'
import {
  Agent,
  type ClientRequest,
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
  type ServerResponse,
} from 'node:http'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { expect, it, onTestFinished } from 'vitest'
import { gateTo } from '../test-support/gate-world.ts'
import { listen } from '../test-support/http-world.ts'
import { interceptedWorld } from '../test-support/intercepted-world.ts'
import { http1Server, newTestAuthority } from '../test-support/tls-servers.ts'

const NAME = 'api.example.com'
const SIZE_BYTES = 3_000_001
const CLIENTS = 3
const REQUESTS = 3

/** Reads slowly, and differently in each request, so that buffers fill and sockets stop and go on. */
async function digestOf(message: IncomingMessage, pauses: number): Promise<string> {
  const hash = createHash('sha1')
  let left = pauses
  for await (const chunk of message) {
    hash.update(chunk)
    for (; left > 0 && left % 3 !== 0; left--) await setImmediate()
    left = (left || pauses) - 1
  }
  return hash.digest('hex')
}

/** Answers with other bytes than it gets, whose end it sends when it has got everything. */
function exchangeBytes(incoming: IncomingMessage, response: ServerResponse): Promise<string> {
  const bytes = randomBytes(SIZE_BYTES)
  const digest = digestOf(incoming, 5)
  if (!incoming.headers['transfer-encoding']) response.setHeader('content-length', SIZE_BYTES)
  response.setHeader('x-sent', createHash('sha1').update(bytes).digest('hex'))
  Readable.from(
    (async function* () {
      yield* piecesOf(bytes.subarray(0, -1))
      await digest
      yield bytes.subarray(-1)
    })(),
  ).pipe(response)
  return digest
}

function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7) % 300_007)
    yield bytes.subarray(at, at + size)
}

async function askOnce(open: () => ClientRequest, isChunked: boolean, pauses: number): Promise<string> {
  const bytes = randomBytes(SIZE_BYTES)
  const sent = open()
  if (!isChunked) sent.setHeader('content-length', SIZE_BYTES)
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    sent.once('response', resolve)
    sent.once('error', reject)
  })
  Readable.from(piecesOf(bytes)).pipe(sent)
  const message = await answer
  expect(await digestOf(message, pauses)).toBe(message.headers['x-sent'])
  return createHash('sha1').update(bytes).digest('hex')
}

it.each(['plain', 'intercepted'])('bodies pass unchanged both ways at once, %s', async (kind) => {
  const seen: Array<Promise<string>> = []
  const listener: RequestListener = (incoming, response) => void seen.push(exchangeBytes(incoming, response))
  const authority = await newTestAuthority()
  const world =
    kind === 'plain'
      ? await gateTo(await listen(createServer(listener)))
      : await interceptedWorld(http1Server(await authority.leafFor(NAME), listener), {
          policy: { transforms: { [NAME]: { 'x-set': 'yes' } } },
          upstreamCas: [authority.pem],
        })
  const ca = 'authority' in world ? (world.authority as { caBundle(): string }).caBundle() : ''
  const sent = await Promise.all(
    Array.from({ length: CLIENTS }, async (_, client) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      onTestFinished(() => agent.destroy())
      if (kind === 'intercepted')
        agent.createConnection = () =>
          connectTls({ host: '127.0.0.1', port: world.port, servername: NAME, ca }) as never
      const open = () =>
        request({ agent, host: '127.0.0.1', port: world.port, method: 'POST', headers: { host: NAME } })
      const digests: string[] = []
      for (let i = 0; i < REQUESTS; i++) digests.push(await askOnce(open, (client + i) % 2 === 0, client * 4))
      return digests
    }),
  )
  expect((await Promise.all(seen)).sort()).toEqual(sent.flat().sort())
  expect(world.records.map(({ bytesIn, bytesOut }) => [bytesIn, bytesOut])).toEqual(
    Array.from({ length: CLIENTS * REQUESTS }, () => [SIZE_BYTES, SIZE_BYTES]),
  )
})
