import { ALL_RANGES } from '@sandlot/protocol/node'
import { describe, expect, it } from 'vitest'
import { DialError } from '../connection.ts'
import { createHttpGate } from '../http/gate.ts'
import { gateTo, RawClient, rawServer, sendRaw } from '../test-support/gate-world.ts'
import { httpWorld } from '../test-support/http-world.ts'

const NAME = 'example.com'
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'
const POLICY = {
  allowNames: [NAME],
  denyRanges: [ALL_RANGES],
  transforms: { [NAME]: { 'X-Api-Key': 'set' } },
}
const head = (first: string, ...headers: string[]): string =>
  [first, `Host: ${NAME}`, ...headers, 'Connection: close', '', ''].join('\r\n')

/** @returns what the server has received of one request */
async function received(request: string, isWhole: (bytes: string) => boolean): Promise<string> {
  const server = await rawServer((bytes, socket) => {
    if (isWhole(bytes)) socket.end(OK)
  })
  const world = await gateTo(server.port, POLICY)
  expect(await sendRaw(world, request)).toContain('200 OK')
  return server.received.join()
}

const hasHead = (bytes: string): boolean => bytes.endsWith('\r\n\r\n')
const hasChunks = (bytes: string): boolean => /\r\n0\r\n(.*\r\n)*\r\n$/.test(bytes)

describe('a hostile guest', () => {
  it.each(['h2c, websocket', 'websocket, h2c', 'h2c,', 'H2C, foo', 'foo,HTTP/2.0', 'TLS/1.2'])(
    'cannot change to a protocol in which it would name hosts: %s',
    async (protocols) => {
      const request = `GET / HTTP/1.1\r\nHost: ${NAME}\r\nUpgrade: ${protocols}\r\nConnection: Upgrade\r\n\r\n`
      const server = await rawServer((bytes, socket) => {
        if (hasHead(bytes)) socket.end(OK)
      })
      const world = await gateTo(server.port, POLICY)
      const client = new RawClient(world).send(request)
      await client.seen('ok')
      expect(server.received.join()).not.toMatch(/upgrade/i)
    },
  )

  it.each(['X_Api_Key', 'x-api_key', 'X-API-KEY'])(
    'cannot send a header which servers take for that of a rule: %s',
    async (name) => {
      const bytes = await received(head('GET / HTTP/1.1', `${name}: own`), hasHead)
      expect(bytes).toContain('X-Api-Key: set')
      expect(bytes).not.toContain('own')
    },
  )

  it.each(['x-api-key', 'X_API_KEY'])(
    'cannot replace the header of a rule by a trailer: %s',
    async (name) => {
      const request = `${head('POST / HTTP/1.1', 'Transfer-Encoding: chunked')}0\r\nX-Sum: 1\r\n${name}: own\r\n\r\n`
      const bytes = await received(request, hasChunks)
      expect(bytes).toContain('X-Api-Key: set')
      expect(bytes).toContain('\r\nX-Sum: 1\r\n')
      expect(bytes).not.toContain('own')
    },
  )

  it('cannot write the encoding in a way that a server may not know', async () => {
    const request = `${head('POST / HTTP/1.1', 'Transfer-Encoding: cHuNkEd')}0\r\n\r\n`
    expect(await received(request, hasChunks)).toContain('\r\nTransfer-Encoding: chunked\r\n')
  })

  it('cannot keep a connection open by empty lines', async () => {
    const { port } = await rawServer((_, socket) => socket.end(OK))
    const request = `GET / HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`
    const answer = await sendRaw(await gateTo(port), request + '\r\n'.repeat(100))
    expect(answer).toMatch(/200 OK[\s\S]*400 Bad Request/)
  })

  it('leaves no attempt to connect behind when it goes', async () => {
    const dialled = Promise.withResolvers<AbortSignal>()
    let gate: ReturnType<typeof createHttpGate> | undefined
    const world = await httpWorld({ upstreamPort: 1, destinationPort: 80 }, (_, connection, bytes) =>
      gate!.serve(connection, bytes),
    )
    const dial = (_: unknown, signal: AbortSignal) => {
      dialled.resolve(signal)
      return new Promise<never>((_, reject) => {
        signal.addEventListener('abort', () => reject(new DialError('connect_timeout', 'aborted')))
      })
    }
    gate = createHttpGate({ ...world.context, dial })
    const client = new RawClient(world).send(head('GET / HTTP/1.1'))
    const signal = await dialled.promise
    const aborted = new Promise((resolve) => signal.addEventListener('abort', resolve))
    client.socket.destroy()
    await aborted
    const record = await world.recordOf(({ verdict }) => verdict === 'failed')
    expect(record).toMatchObject({ reason: 'client_aborted' })
  })
})
