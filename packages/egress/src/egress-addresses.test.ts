import type { Socket } from 'node:net'
import { ALL_RANGES } from '@sandlot/protocol/node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { EgressWorld, HEAD_TIMEOUT_MS, received } from './test-support/egress-world.ts'
import { type SocksServer, startSocksServer, startTlsFront } from './test-support/socks-server.ts'
import { selfSigned } from './test-support/tls-server.ts'

const world = new EgressWorld()

describe('other connections', () => {
  test('other ports are decided by the address, and servers that speak first do not wait', async () => {
    await world.serve('192.0.2.10', 25, (socket) => socket.end('220 hello\r\n'))
    world.allowOnly('first.test')
    expect(await received(await world.network.connect('192.0.2.10', 25))).toBe('<ECONNRESET>')
    world.setPolicy({ allowNames: ['x.test'], allowRanges: ['192.0.2.10/32'], denyRanges: [ALL_RANGES] })
    const client = await world.network.connect('192.0.2.10', 25)
    const startedAt = performance.now()
    const text = received(client)
    client.end()
    expect(await text).toBe('220 hello\r\n')
    expect(performance.now() - startedAt).toBeLessThan(HEAD_TIMEOUT_MS)
  })

  test('a half-closed connection still receives', async () => {
    await world.serve('192.0.2.10', 7_000, async (socket) => {
      const text = await received(socket)
      socket.end(`got ${text}`)
    })
    world.setPolicy({ allowNames: ['x.test'] })
    const client = await world.network.connect('192.0.2.10', 7_000, { allowHalfOpen: true })
    client.end('everything')
    expect(await received(client)).toBe('got everything')
    await world.recorded({ bytesOut: 10, bytesIn: 14, verdict: 'allowed', port: 7_000 })
  })

  test('a reset of the server reaches the client', async () => {
    await world.serve('192.0.2.10', 7_001, (socket) => socket.once('data', () => socket.resetAndDestroy()))
    world.setPolicy({ allowNames: ['x.test'] })
    const client = await world.network.connect('192.0.2.10', 7_001)
    client.write('x')
    expect(await received(client)).toBe('<ECONNRESET>')
    await world.recorded({ verdict: 'failed', reason: 'reset_by_server' })
  })

  test('a closed range stays closed', async () => {
    await world.serve('203.0.113.30', 7_002, (socket) => socket.end('secret'))
    world.setPolicy({ allowNames: ['x.test'], allowRanges: ['203.0.113.0/24'] })
    expect(await received(await world.network.connect('203.0.113.30', 7_002))).toBe('<ECONNRESET>')
    await world.recorded({ verdict: 'denied', rule: 'closed range' })
  })

  test('a connection from an unknown address is closed at once', async () => {
    expect(await received(await world.network.connect('192.0.2.10', 7_003))).toMatch(/^(<ECONNRESET>)?$/)
    expect(world.records).toEqual([])
  })

  test('connections beyond the limit are reset and recorded, and room comes back', async () => {
    await world.serve('192.0.2.10', 7_004, (socket) => socket.resume())
    world.setPolicy({ allowNames: ['x.test'] })
    const open: Socket[] = []
    for (let i = 0; i < 5; i++) {
      const socket = await world.network.connect('192.0.2.10', 7_004)
      await new Promise((resolve) => socket.once('connect', resolve))
      open.push(socket)
    }
    expect(await received(await world.network.connect('192.0.2.10', 7_004))).toBe('<ECONNRESET>')
    await world.recorded({ verdict: 'denied', rule: 'connection limit' })
    open[0]!.resetAndDestroy()
    await world.recorded({ verdict: 'allowed' })
    const another = await world.network.connect('192.0.2.10', 7_004)
    another.write('x')
    for (const socket of [...open, another]) socket.on('error', () => {}).destroy()
  })
})

describe('through the SOCKS5 proxy of a policy', () => {
  const certificate = selfSigned('/CN=proxy.test')
  let socks: SocksServer
  let front: SocksServer
  beforeAll(async () => {
    socks = await startSocksServer('192.0.2.11')
    front = await startTlsFront({ host: '192.0.2.11', port: socks.port }, certificate)
  }, 120_000)
  afterAll(() => Promise.all([socks?.close(), front?.close()]))

  const seenBy = async (port: number): Promise<string[]> => {
    const seen: string[] = []
    await world.serve('192.0.2.10', port, (socket) => {
      seen.push(socket.remoteAddress!)
      socket.write('220 hello\r\n')
    })
    return seen
  }
  const greeting = async (port: number): Promise<string> => {
    const client = await world.network.connect('192.0.2.10', port)
    const text = await new Promise<string>((resolve) => {
      client.once('data', (bytes) => resolve(String(bytes))).once('error', (error) => resolve(String(error)))
    })
    client.destroy()
    return text
  }

  test('all TCP takes it, and nothing goes out beside it', async () => {
    world.setPolicy({ proxy: { host: '192.0.2.11', port: socks.port } })
    await seenBy(7_100)
    expect(await greeting(7_100)).toBe('220 hello\r\n')
    await world.recorded({ port: 7_100, verdict: 'allowed', rule: 'default' })
    world.setPolicy({ proxy: { host: '192.0.2.11', port: 1 } })
    expect(await greeting(7_100)).toMatch('ECONNRESET')
    await world.recorded({ port: 7_100, verdict: 'failed', reason: 'proxy_unreachable' })
  })

  test('the rules hold before it', async () => {
    world.setPolicy({ proxy: { host: '192.0.2.11', port: socks.port }, denyRanges: ['192.0.2.10/32'] })
    await seenBy(7_101)
    expect(await greeting(7_101)).toMatch('ECONNRESET')
    await world.recorded({ port: 7_101, verdict: 'denied', rule: 'deny 192.0.2.10/32' })
  })

  test('a proxy with TLS takes connections, and its end and resets are passed on', async () => {
    const tls = { serverName: 'proxy.test', caCert: certificate.cert }
    world.setPolicy({ proxy: { host: '127.0.0.1', port: front.port, tls } })
    expect(await greeting(7_102)).toMatch('ECONNRESET')
    await world.recorded({ port: 7_102, verdict: 'failed', reason: 'proxy_private_address' })
    world.setPolicy({ proxy: { host: '192.0.2.11', port: front.port, tls } })
    await seenBy(7_102)
    expect(await greeting(7_102)).toBe('220 hello\r\n')
    await world.recorded({ port: 7_102, verdict: 'allowed' })
  })
})
