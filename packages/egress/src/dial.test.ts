import { createServer, type Server, type Socket } from 'node:net'
import type { UpstreamProxy } from '@sandlot/protocol/node'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Target } from './connection.ts'
import { createDial } from './dial.ts'
import { ClosedRanges } from './ranges.ts'
import { NameResolver } from './resolve.ts'
import { a, type NameServer, startNameServer } from './test-support/name-server.ts'
import { type SocksServer, startSocksServer, startTlsFront } from './test-support/socks-server.ts'
import { selfSigned } from './test-support/tls-server.ts'

const LOGIN = { username: 'someone', password: 'a password' }
const never = new AbortController().signal

let names: NameServer
let resolver: NameResolver
/** Sends every connection what it received, and counts. */
let echo: Server & { connections?: number }
let echoPort: number
let open: SocksServer
let locked: SocksServer
type TestTarget = Omit<Target, 'sandboxId'> & { sandboxId?: string }
let dial: (target: TestTarget, signal?: AbortSignal) => Promise<Socket>

beforeAll(async () => {
  names = await startNameServer()
  resolver = new NameResolver([names.address])
  // 127.9.0.0/16 stands for what is closed to sandboxes
  const closed = new ClosedRanges(['127.9.0.0/16'], [])
  const dialWithin = createDial({ resolver, closed, timeoutMs: 1_500 })
  dial = (target, signal = never) => dialWithin({ sandboxId: 'one', ...target }, signal)
  echo = createServer((socket) => {
    echo.connections = (echo.connections ?? 0) + 1
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  echoPort = await listen(echo)
  open = await startSocksServer('127.0.0.1')
  locked = await startSocksServer('127.0.0.1', LOGIN)
}, 120_000)
beforeEach(() => {
  names.questions.length = 0
})
afterAll(async () => {
  resolver?.close()
  await Promise.all([names?.close(), open?.close(), locked?.close(), new Promise((done) => echo.close(done))])
})

async function listen(server: Server, address = '127.0.0.1'): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  return (server.address() as { port: number }).port
}

/** Sends a text and returns the first bytes that come back. microsocks closes when one side has ended. */
async function echoed(socket: Socket): Promise<string> {
  socket.write('hello')
  const answer = await new Promise<Buffer>((resolve, reject) => {
    socket.once('data', resolve).once('close', () => reject(new Error('closed')))
  })
  socket.destroy()
  return answer.toString()
}

describe('directly', () => {
  test('a name is reached at its address, and asked for once within its TTL', async () => {
    names.records.set('ttl.test A', [{ type: 'A', name: 'ttl.test', ttl: 60, data: '127.0.0.1' }])
    for (let i = 0; i < 3; i++)
      expect(await echoed(await dial({ name: 'ttl.test', address: '192.0.2.1', port: echoPort }))).toBe(
        'hello',
      )
    expect(names.questions).toEqual(['ttl.test A'])
  })

  test('a name with TTL 0 is asked for each time, so that it cannot be changed after it was checked', async () => {
    names.records.set(...a('zero.test', '127.0.0.1'))
    const target = { name: 'zero.test', address: '192.0.2.1', port: echoPort }
    ;(await dial(target)).destroy()
    names.records.set(...a('zero.test', '127.9.0.1'))
    await expect(dial(target)).rejects.toMatchObject({ reason: 'private_address' })
    expect(names.questions).toEqual(['zero.test A', 'zero.test A'])
  })

  test('the next address is tried when one refuses, and when one is silent', async () => {
    names.records.set(...a('two.test', '127.0.0.7', '127.0.0.1'))
    const target = { name: 'two.test', address: '192.0.2.1', port: echoPort }
    expect(await echoed(await dial(target))).toBe('hello')
  })

  test('what is closed or absent has its reason', async () => {
    names.records.set(...a('refused.test', '127.0.0.7'))
    const reason = (target: Partial<Target>) =>
      dial({ address: '127.0.0.1', port: echoPort, ...target }).then(
        () => 'none',
        (error) => error.reason,
      )
    expect(await reason({ address: '127.9.0.1' })).toBe('private_address')
    expect(await reason({ name: 'absent.test' })).toBe('name_not_found')
    expect(await reason({ name: 'refused.test' })).toBe('connection_refused')
  })

  test('a resolver that is silent ends with the time for the whole', async () => {
    names.isSilent = true
    const dialling = dial({ name: 'silent.test', address: '127.0.0.1', port: echoPort })
    await expect(dialling).rejects.toMatchObject({ reason: 'connect_timeout' })
    names.isSilent = false
  })

  test('lookups that pile up for one sandbox leave room for the others', async () => {
    names.records.set(...a('quick.test', '127.0.0.1'))
    names.isSilent = true
    const slow = Array.from({ length: 101 }, (_, i) =>
      dial({ name: `slow-${i}.test`, address: '127.0.0.1', port: echoPort }).catch((error) => error.reason),
    )
    await expect.poll(() => names.questions.length).toBeGreaterThanOrEqual(100)
    expect(await slow[100]).toBe('name_lookup_failed')
    names.isSilent = false
    const target = { sandboxId: 'other', name: 'quick.test', address: '127.0.0.1', port: echoPort }
    expect(await echoed(await dial(target))).toBe('hello')
    expect(await slow[0]).toBe('connect_timeout')
  })

  test('dialling ends when the client has gone', async () => {
    const gone = new AbortController()
    gone.abort(new Error('gone'))
    const dialling = dial({ address: '127.0.0.1', port: echoPort }, gone.signal)
    await expect(dialling).rejects.toThrow('gone')
  })
})

describe('through a SOCKS5 proxy', () => {
  const through = (proxy: Partial<UpstreamProxy>, target: Partial<Target> = {}) =>
    dial({
      ...{ address: '127.0.0.1', port: echoPort, ...target },
      proxy: { host: '127.0.0.1', port: open.port, ...proxy },
    })
  const reasonOf = (dialling: Promise<Socket>) =>
    dialling.then(
      (socket) => {
        socket.destroy()
        return 'none'
      },
      (error) => error.reason,
    )

  test('an address is reached', async () => {
    expect(await echoed(await through({}))).toBe('hello')
  })

  test('a name is sent as a name: nobody here looks it up', async () => {
    expect(await echoed(await through({}, { name: 'localhost', address: '192.0.2.1' }))).toBe('hello')
    expect(names.questions).toEqual([])
  })

  test('a user and a password are sent, and refused ones end the connection', async () => {
    const port = locked.port
    expect(await echoed(await through({ port, ...LOGIN }))).toBe('hello')
    const before = echo.connections
    expect(await reasonOf(through({ port, ...LOGIN, password: 'wrong' }))).toBe('proxy_auth_failed')
    expect(await reasonOf(through({ port }))).toBe('proxy_auth_failed')
    expect(echo.connections).toBe(before)
  })

  test('what the proxy cannot reach has its reason', async () => {
    expect(await reasonOf(through({}, { address: '127.0.0.7' }))).toBe('connection_refused')
  })

  test('a proxy that is gone, silent or none fails the connection; nothing is reached without it', async () => {
    const before = echo.connections
    expect(await reasonOf(through({ port: 1 }))).toBe('proxy_unreachable')
    expect(await reasonOf(through({ host: 'absent.test' }))).toBe('proxy_unreachable')
    expect(await reasonOf(through({ port: echoPort }))).toBe('proxy_auth_failed')
    const silent = createServer((socket) => socket.on('error', () => {}))
    expect(await reasonOf(through({ port: await listen(silent) }))).toBe('connect_timeout')
    silent.close()
    expect(echo.connections).toBe(before! + 1)
  })

  test('a proxy in a closed range is refused, by address and by name, at each dial', async () => {
    expect(await reasonOf(through({ host: '127.9.0.1' }))).toBe('proxy_private_address')
    names.records.set(...a('proxy.test', '127.0.0.1'))
    expect(await reasonOf(through({ host: 'proxy.test' }))).toBe('none')
    names.records.set(...a('proxy.test', '127.9.0.1'))
    expect(await reasonOf(through({ host: 'proxy.test' }))).toBe('proxy_private_address')
  })

  test('a closed destination is refused before the proxy is asked', async () => {
    expect(await reasonOf(through({}, { address: '127.9.0.1' }))).toBe('private_address')
  })

  describe('with TLS', () => {
    const certificate = selfSigned('/CN=proxy.test')

    test('the certificate is verified for the server name', async () => {
      const front = await startTlsFront({ host: '127.0.0.1', port: open.port }, certificate)
      const { port } = front
      const tls = { serverName: 'proxy.test', caCert: certificate.cert }
      expect(await echoed(await through({ port, tls }))).toBe('hello')
      const reason = (changes: object) => reasonOf(through({ port, tls: { ...tls, ...changes } }))
      expect(await reason({ caCert: undefined })).toBe('proxy_tls_failed')
      expect(await reason({ serverName: 'other.test' })).toBe('proxy_tls_failed')
      // the default name is the proxy's host, here an address
      expect(await reason({ serverName: undefined })).toBe('proxy_tls_failed')
      await front.close()
    })

    test('versions before 1.2 and servers without TLS are refused', async () => {
      const tls = { serverName: 'proxy.test', caCert: certificate.cert }
      const old = await startTlsFront({ host: '127.0.0.1', port: open.port }, certificate, 'TLSv1.1')
      expect(await reasonOf(through({ port: old.port, tls }))).toBe('proxy_tls_failed')
      await old.close()
      expect(await reasonOf(through({ tls }))).toBe('proxy_tls_failed')
    })
  })
})
