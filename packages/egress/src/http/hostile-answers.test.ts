import { connect, createServer, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { describe, expect, it, onTestFinished } from 'vitest'
import { httpWorld, listen } from '../test-support/http-world.ts'
import { askHttp2, interceptedWorld, sendOverTls } from '../test-support/intercepted-world.ts'
import { newTestAuthority } from '../test-support/tls-servers.ts'
import { createHttpGate } from './gate.ts'

const NAME = 'api.example.com'
const OK = 'HTTP/1.1 200 OK\r\n'
const REQUEST = `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`
const UPGRADE = REQUEST.replace('Connection: close', 'Connection: Upgrade\r\nUpgrade: websocket')

/** Answers that a server may send to break the proxy. The second value: the client gets it as an answer. */
const ANSWERS: Array<[what: string, bytes: string, isPassed: boolean]> = [
  ['nothing', '', false],
  ['no HTTP', 'SSH-2.0-OpenSSH\r\n', false],
  ['a status that does not exist', 'HTTP/1.1 999 Strange\r\nContent-Length: 0\r\n\r\n', true],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n', false],
  ['a status of zero', 'HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n', false],
  ['a reason in other bytes', 'HTTP/1.1 200 \xff\xfe\r\nContent-Length: 0\r\n\r\n', true],
  ['a reason with control characters', 'HTTP/1.1 200 a\x01b\r\nContent-Length: 0\r\n\r\n', true],
  [
    'a protocol that nobody asked for',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    false,
  ],
  ['interim answers without end', 'HTTP/1.1 102 Processing\r\n\r\n'.repeat(1_000), false],
  [
    'an early hint without a form',
    `HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 5\r\n\r\n${OK}Content-Length: 0\r\n\r\n`,
    true,
  ],
  ['lengths that differ', `${OK}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab`, false],
  ['a length and chunks', `${OK}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, false],
  ['a chunk of no size', `${OK}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`, false],
  ['a header with a null', `${OK}X: a\0b\r\nContent-Length: 0\r\n\r\n`, false],
  ['a header in other bytes', `${OK}X: \xff\r\nContent-Length: 0\r\n\r\n`, true],
  ['a header without a name', `${OK}: a\r\nContent-Length: 0\r\n\r\n`, false],
  ['a name of an object', `${OK}__proto__: a\r\nconstructor: b\r\nContent-Length: 0\r\n\r\n`, true],
  ['a pseudo-header', `${OK}:status: 500\r\nContent-Length: 0\r\n\r\n`, false],
  ['a head without end', `${OK}X: ${'a'.repeat(200_000)}`, false],
  [
    'trailers that no head may have',
    `${OK}Transfer-Encoding: chunked\r\nTrailer: a\r\n\r\n0\r\nConnection: close\r\nHost: x\r\nX-A: \x01\r\nTE: a\r\n\r\n`,
    true,
  ],
  ['a body after 204', 'HTTP/1.1 204 No Content\r\n\r\nbody', true],
  ['two answers', `${OK}Content-Length: 0\r\n\r\n${OK}Content-Length: 0\r\n\r\n`, true],
]

function answerWith(bytes: string): (socket: Socket) => void {
  return (socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end(bytes, 'latin1'))
  }
}

describe.each(ANSWERS)('a server that answers with %s', (_, bytes, isPassed) => {
  it('does not harm the proxy for HTTP', async () => {
    const upstreamPort = await listen(createServer(answerWith(bytes)))
    let gate: ReturnType<typeof createHttpGate> | undefined
    const world = await httpWorld({ upstreamPort, destinationPort: 80 }, (__, connection, head) =>
      gate!.serve(connection, head),
    )
    gate = createHttpGate(world.context)
    const { close } = gate
    onTestFinished(() => close())
    for (const request of [REQUEST, UPGRADE]) {
      const socket = connect(world.port, '127.0.0.1', () => socket.write(request))
      socket.on('error', () => {})
      socket.resume()
      await new Promise((resolve) => socket.once('close', resolve))
    }
    // one for each request
    expect(world.records.length).toBe(2)
    if (!isPassed) expect(world.records[0]).toMatchObject({ verdict: 'failed' })
  })

  it('does not harm the interceptor', async () => {
    const authority = await newTestAuthority()
    const server = createTlsServer(await authority.leafFor(NAME), answerWith(bytes))
    server.on('tlsClientError', () => {})
    const world = await interceptedWorld(server, { policy: {}, upstreamCas: [authority.pem] })
    await sendOverTls(world, REQUEST).catch(() => '')
    const session = await world.session()
    const answer = await askHttp2(session, { ':path': '/' }).catch((error: Error) => error)
    if (!(answer instanceof Error)) expect(answer.headers[':status']).toBeGreaterThan(0)
    expect(session.destroyed).toBe(false)
    expect(world.logged.join()).not.toContain('could not be served')
  })
})
