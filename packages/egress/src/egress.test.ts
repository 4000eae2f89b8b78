import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Egress } from '@sandlot/protocol'
import { ALL_RANGES, type ConnectionRecord, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import pino from 'pino'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createEgress } from './egress.ts'
import { openEgressAuthority } from './intercept/authority.ts'
import { a, type NameServer, startNameServer } from './test-support/name-server.ts'
import { PrivateNetwork, SANDBOX } from './test-support/private-network.ts'
import { type SocksServer, startSocksServer, startTlsFront } from './test-support/socks-server.ts'
import { selfSigned, startTlsServer, type TlsTestServer } from './test-support/tls-server.ts'

const owner = { sandboxId: 'sandbox-1', teamId: 'team-1' }
const HEAD_TIMEOUT_MS = 300

let network: PrivateNetwork
let names: NameServer
let egress: Egress
let records: ConnectionRecord[]
/** TLS servers on two addresses that tell which server name they saw. */
let first: TlsTestServer
let second: TlsTestServer
const servers: Server[] = []
const accepted = new Set<Socket>()
const directory = mkdtempSync(join(tmpdir(), 'egress-test-'))

beforeAll(async () => {
  network = new PrivateNetwork()
  names = await startNameServer()
  first = await startTlsServer('192.0.2.10')
  second = await startTlsServer('198.51.100.20')
  egress = await createEgress({
    log: pino({ level: 'silent' }),
    credentials: { secret: async () => undefined, identityToken: async () => undefined },
    authority: await openEgressAuthority(directory),
    dns: [names.address],
    closedRanges: ['10.0.0.0/8', '127.0.0.0/8', '203.0.113.0/24'],
    headTimeoutMs: HEAD_TIMEOUT_MS,
    idleTimeoutMs: 2_000,
    maxConnections: 5,
  })
  egress.onRecord((record) => records.push(record))
  network.sendTcpTo(egress.proxyPort)
  network.sendDnsTo(egress.dns.port)
  for (const [key, answers] of [
    a('first.test', '192.0.2.10'),
    a('second.test', '198.51.100.20'),
    a('inside.test', '203.0.113.30'),
    a('mixed.test', '192.0.2.10', '10.0.0.1'),
    a('dead.test', '192.0.2.11'),
  ])
    names.records.set(key, answers)
})
beforeEach(() => {
  records = []
})
afterEach(async () => {
  egress.removePolicy(SANDBOX)
  for (const socket of accepted) socket.destroy()
  accepted.clear()
  for (const server of servers.splice(0)) await new Promise((resolve) => server.close(resolve))
})
afterAll(async () => {
  await egress?.close()
  await Promise.all([first?.close(), second?.close(), names?.close()])
  network?.close()
  rmSync(directory, { recursive: true })
})

const setPolicy = (fields: Partial<NetworkPolicy>, closeExisting = false) =>
  egress.setPolicy(SANDBOX, owner, { ...OPEN, ...fields }, closeExisting)
const allowOnly = (...allowNames: string[]) => setPolicy({ allowNames, denyRanges: [ALL_RANGES] })

const recorded = (expected: Partial<ConnectionRecord>) =>
  expect.poll(() => records).toContainEqual(expect.objectContaining(expected))

/** Listens on an address of "the internet". */
async function serve(address: string, port: number, onConnection: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    accepted.add(socket)
    onConnection(socket)
  })
  await new Promise<void>((resolve) => server.listen(port, address, resolve))
  servers.push(server)
}

const fetchByTls = (address: string, name: string, extra: string[] = []) =>
  network.run([
    'curl',
    '-sS',
    '-k',
    '--max-time',
    '5',
    '--resolve',
    `${name}:443:${address}`,
    ...extra,
    `https://${name}/`,
  ])

const received = async (socket: Socket): Promise<string> => {
  let text = ''
  try {
    for await (const chunk of socket) text += chunk
    return text
  } catch (error) {
    return `${text}<${(error as NodeJS.ErrnoException).code}>`
  }
}

describe('TLS', () => {
  test('an allowed name passes without being decrypted, and is recorded', async () => {
    allowOnly('first.test')
    expect(await fetchByTls('192.0.2.10', 'first.test')).toEqual({ code: 0, output: 'first.test' })
    await recorded({ verdict: 'allowed' })
    const { startedAtMs, durationMs, recordId, bytesIn, bytesOut, ...rest } = records[0]!
    expect(rest).toEqual({
      ...owner,
      protocol: 'tls',
      name: 'first.test',
      address: '192.0.2.10',
      port: 443,
      verdict: 'allowed',
      rule: 'allow first.test',
    })
    expect(bytesOut).toBeGreaterThan(300)
    expect(bytesIn).toBeGreaterThan(300)
    expect([recordId.length, startedAtMs > 1e12, durationMs >= 0]).toEqual([36, true, true])
  })

  test('other names are reset at once, and nothing reaches the server', async () => {
    allowOnly('first.test')
    const before = second.connections
    const { code, output } = await fetchByTls('198.51.100.20', 'second.test')
    expect([code, output]).toEqual([35, expect.stringMatching(/reset/i)])
    expect(second.connections).toBe(before)
    await recorded({
      ...{ name: 'second.test', verdict: 'denied', rule: 'deny 0.0.0.0/0', bytesOut: 0, bytesIn: 0 },
    })
  })

  test('the host decides where an allowed name is: a forged name leads to its own server', async () => {
    allowOnly('first.test')
    const { output } = await fetchByTls('198.51.100.20', 'first.test')
    expect(output).toBe('first.test')
    expect(first.names.at(-1)).toBe('first.test')
    expect(second.names).not.toContain('first.test')
  })

  test('an allowed name in capitals, with a dot at its end, or below a wildcard passes', async () => {
    allowOnly('*.test')
    expect((await fetchByTls('192.0.2.10', 'FIRST.test')).output.toLowerCase()).toBe('first.test')
  })

  test('a name that leads into a closed range is refused, with one address of several too', async () => {
    allowOnly('inside.test', 'mixed.test')
    for (const name of ['inside.test', 'mixed.test']) {
      expect((await fetchByTls('192.0.2.10', name)).code).toBe(35)
      await recorded({ name, verdict: 'failed', reason: 'private_address' })
    }
  })

  test('a silent address of a name is passed over', async () => {
    network.silence('192.0.2.11')
    names.records.set(...a('half.test', '192.0.2.11', '192.0.2.10'))
    allowOnly('half.test')
    expect((await fetchByTls('192.0.2.10', 'half.test')).output).toBe('half.test')
    network.unsilence()
  })

  test('a name that does not exist, and a port that nobody listens on, are recorded as such', async () => {
    allowOnly('absent.test', 'dead.test')
    await fetchByTls('192.0.2.10', 'absent.test')
    await recorded({ verdict: 'failed', reason: 'name_not_found' })
    await fetchByTls('192.0.2.11', 'dead.test')
    await recorded({ verdict: 'failed', reason: 'connection_refused' })
  })

  test('an allowed range is reached by its address, whatever the name', async () => {
    setPolicy({ allowNames: ['x.test'], allowRanges: ['198.51.100.0/24'], denyRanges: [ALL_RANGES] })
    expect((await fetchByTls('198.51.100.20', 'first.test')).output).toBe('first.test')
    await recorded({ rule: 'allow 198.51.100.0/24', name: 'first.test' })
  })

  test('without a server name the address decides', async () => {
    allowOnly('first.test')
    const command = ['openssl', 's_client', '-connect', '192.0.2.10:443', '-noservername']
    expect((await network.run(command)).code).not.toBe(0)
    await recorded({ verdict: 'denied', protocol: 'tls' })
  })

  test('a hello that comes byte by byte, in many records, is read', async () => {
    allowOnly('first.test')
    const hello = await first.helloOf('first.test')
    const client = await network.connect('192.0.2.10', 443)
    const body = hello.subarray(5)
    for (let at = 0; at < body.length; at += 40) {
      const fragment = body.subarray(at, at + 40)
      for (const byte of [22, 3, 1, 0, fragment.length, ...fragment]) client.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    const answer = await new Promise<Buffer>((resolve) => client.once('data', resolve))
    expect(answer[0]).toBe(22)
    client.destroy()
  })

  test('garbage and silence are decided by the address', async () => {
    await serve('198.51.100.20', 4443, (socket) => socket.end('220 hello\r\n'))
    setPolicy({ allowNames: ['first.test'], denyRanges: [ALL_RANGES] })
    const noise = await network.connect('192.0.2.10', 443)
    noise.write('SSH-2.0-OpenSSH\r\n')
    expect(await received(noise)).toBe('<ECONNRESET>')
    const silent = await network.connect('192.0.2.10', 443)
    const startedAt = performance.now()
    expect(await received(silent)).toBe('<ECONNRESET>')
    expect(performance.now() - startedAt).toBeGreaterThan(HEAD_TIMEOUT_MS - 50)
    await recorded({ verdict: 'denied' })
  })
})

describe('DNS', () => {
  /** Runs a command in the sandbox with a name server that the firewall redirects. */
  const withResolver = (command: string) => {
    const configuration = join(directory, 'resolv.conf')
    writeFileSync(configuration, 'nameserver 8.8.8.8\n')
    return network.run([
      'unshare',
      '-m',
      'sh',
      '-c',
      `mount --bind ${configuration} /etc/resolv.conf; ${command}`,
    ])
  }

  test('programs of the sandbox find allowed names, and no others', async () => {
    allowOnly('first.test')
    const curl = 'curl -sS -k --max-time 5 https://first.test'
    expect(await withResolver(curl)).toEqual({ code: 0, output: 'first.test' })
    expect((await withResolver('getent ahostsv4 first.test')).output).toMatch(/^192\.0\.2\.10 /)
    expect(await withResolver('getent hosts second.test')).toEqual({ code: 2, output: '' })
    await recorded({ protocol: 'dns', name: 'second.test', verdict: 'denied', rule: 'name not allowed' })
  })

  test('libc takes answers over TCP', async () => {
    names.records.set(...a('many.test', ...Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`)))
    allowOnly('many.test')
    expect((await withResolver('getent ahostsv4 many.test | grep -c STREAM')).output.trim()).toBe('100')
  })
})

describe('HTTP', () => {
  test('requests on port 80 are decided by their Host, and what is no HTTP by the address', async () => {
    const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
    await serve('192.0.2.10', 80, (socket) => socket.once('data', () => socket.end(answer)))
    allowOnly('first.test')
    const get = (name: string) =>
      network.run([
        'curl',
        '-sS',
        '--max-time',
        '5',
        '--resolve',
        `${name}:80:192.0.2.10`,
        `http://${name}/a?b=c`,
      ])
    expect(await get('first.test')).toEqual({ code: 0, output: 'ok' })
    await recorded({ protocol: 'http', verdict: 'allowed', rule: 'allow first.test' })
    expect((await get('second.test')).output).not.toContain('ok')
    await recorded({ protocol: 'http', verdict: 'denied', name: 'second.test' })
    const other = await network.connect('192.0.2.10', 80)
    other.write('\x16\x03\x01')
    expect(await received(other)).toBe('<ECONNRESET>')
  })
})

test('names with a transform are intercepted, if they are allowed', async () => {
  const transforms = { 'first.test': { 'X-Added': 'value' }, 'second.test': { 'X-Added': 'value' } }
  setPolicy({ allowNames: ['first.test'], denyRanges: [ALL_RANGES], transforms })
  // the upstream's certificate is trusted by nobody
  expect((await fetchByTls('192.0.2.10', 'first.test', ['-w', ' %{http_code}'])).output).toMatch(/ 502$/)
  await recorded({ protocol: 'https', name: 'first.test', rule: 'allow first.test' })
  expect((await fetchByTls('198.51.100.20', 'second.test')).code).toBe(35)
  await recorded({ protocol: 'tls', name: 'second.test', verdict: 'denied' })
})

describe('other connections', () => {
  test('other ports are decided by the address, and servers that speak first do not wait', async () => {
    await serve('192.0.2.10', 25, (socket) => socket.end('220 hello\r\n'))
    allowOnly('first.test')
    expect(await received(await network.connect('192.0.2.10', 25))).toBe('<ECONNRESET>')
    setPolicy({ allowNames: ['x.test'], allowRanges: ['192.0.2.10/32'], denyRanges: [ALL_RANGES] })
    const client = await network.connect('192.0.2.10', 25)
    const startedAt = performance.now()
    const text = received(client)
    client.end()
    expect(await text).toBe('220 hello\r\n')
    expect(performance.now() - startedAt).toBeLessThan(HEAD_TIMEOUT_MS)
  })

  test('a half-closed connection still receives', async () => {
    await serve('192.0.2.10', 7_000, async (socket) => {
      const text = await received(socket)
      socket.end(`got ${text}`)
    })
    setPolicy({ allowNames: ['x.test'] })
    const client = await network.connect('192.0.2.10', 7_000, { allowHalfOpen: true })
    client.end('everything')
    expect(await received(client)).toBe('got everything')
    await recorded({ bytesOut: 10, bytesIn: 14, verdict: 'allowed', port: 7_000 })
  })

  test('a reset of the server reaches the client', async () => {
    await serve('192.0.2.10', 7_001, (socket) => socket.once('data', () => socket.resetAndDestroy()))
    setPolicy({ allowNames: ['x.test'] })
    const client = await network.connect('192.0.2.10', 7_001)
    client.write('x')
    expect(await received(client)).toBe('<ECONNRESET>')
    await recorded({ verdict: 'failed', reason: 'reset_by_server' })
  })

  test('a closed range stays closed', async () => {
    await serve('203.0.113.30', 7_002, (socket) => socket.end('secret'))
    setPolicy({ allowNames: ['x.test'], allowRanges: ['203.0.113.0/24'] })
    expect(await received(await network.connect('203.0.113.30', 7_002))).toBe('<ECONNRESET>')
    await recorded({ verdict: 'denied', rule: 'closed range' })
  })

  test('a connection from an unknown address is closed at once', async () => {
    expect(await received(await network.connect('192.0.2.10', 7_003))).toMatch(/^(<ECONNRESET>)?$/)
    expect(records).toEqual([])
  })

  test('connections beyond the limit are reset and recorded, and room comes back', async () => {
    await serve('192.0.2.10', 7_004, (socket) => socket.resume())
    setPolicy({ allowNames: ['x.test'] })
    const open: Socket[] = []
    for (let i = 0; i < 5; i++) {
      const socket = await network.connect('192.0.2.10', 7_004)
      await new Promise((resolve) => socket.once('connect', resolve))
      open.push(socket)
    }
    expect(await received(await network.connect('192.0.2.10', 7_004))).toBe('<ECONNRESET>')
    await recorded({ verdict: 'denied', rule: 'connection limit' })
    open[0]!.resetAndDestroy()
    await recorded({ verdict: 'allowed' })
    const another = await network.connect('192.0.2.10', 7_004)
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
    await serve('192.0.2.10', port, (socket) => {
      seen.push(socket.remoteAddress!)
      socket.write('220 hello\r\n')
    })
    return seen
  }
  const greeting = async (port: number): Promise<string> => {
    const client = await network.connect('192.0.2.10', port)
    const text = await new Promise<string>((resolve) => {
      client.once('data', (bytes) => resolve(String(bytes))).once('error', (error) => resolve(String(error)))
    })
    client.destroy()
    return text
  }

  test('all TCP takes it, and nothing goes out beside it', async () => {
    setPolicy({ proxy: { host: '192.0.2.11', port: socks.port } })
    await seenBy(7_100)
    expect(await greeting(7_100)).toBe('220 hello\r\n')
    await recorded({ port: 7_100, verdict: 'allowed', rule: 'default' })
    setPolicy({ proxy: { host: '192.0.2.11', port: 1 } })
    expect(await greeting(7_100)).toMatch('ECONNRESET')
    await recorded({ port: 7_100, verdict: 'failed', reason: 'proxy_unreachable' })
  })

  test('the rules hold before it', async () => {
    setPolicy({ proxy: { host: '192.0.2.11', port: socks.port }, denyRanges: ['192.0.2.10/32'] })
    await seenBy(7_101)
    expect(await greeting(7_101)).toMatch('ECONNRESET')
    await recorded({ port: 7_101, verdict: 'denied', rule: 'deny 192.0.2.10/32' })
  })

  test('a proxy with TLS takes connections, and its end and resets are passed on', async () => {
    const tls = { serverName: 'proxy.test', caCert: certificate.cert }
    setPolicy({ proxy: { host: '127.0.0.1', port: front.port, tls } })
    expect(await greeting(7_102)).toMatch('ECONNRESET')
    await recorded({ port: 7_102, verdict: 'failed', reason: 'proxy_private_address' })
    setPolicy({ proxy: { host: '192.0.2.11', port: front.port, tls } })
    await seenBy(7_102)
    expect(await greeting(7_102)).toBe('220 hello\r\n')
    await recorded({ port: 7_102, verdict: 'allowed' })
  })
})

describe('live changes', () => {
  const established = async (): Promise<Socket> => {
    await serve('192.0.2.10', 7_005, (socket) => socket.pipe(socket))
    const client = await network.connect('192.0.2.10', 7_005)
    client.on('error', () => {})
    client.write('x')
    await new Promise((resolve) => client.once('data', resolve))
    return client
  }
  const echoes = (client: Socket) =>
    new Promise<boolean>((resolve) => {
      client.once('data', () => resolve(true)).once('close', () => resolve(false))
      client.write('y')
    })

  test('a new policy holds for new connections only', async () => {
    setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    allowOnly('x.test')
    expect(await echoes(client)).toBe(true)
    expect(await received(await network.connect('192.0.2.10', 7_005))).toBe('<ECONNRESET>')
    client.destroy()
  })

  test('closeExisting cuts what the new policy refuses, and only that', async () => {
    setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    setPolicy({ allowNames: ['y.test'], allowRanges: ['192.0.2.0/24'], denyRanges: [ALL_RANGES] }, true)
    expect(await echoes(client)).toBe(true)
    setPolicy({ allowNames: ['y.test'], denyRanges: [ALL_RANGES] }, true)
    expect(await echoes(client)).toBe(false)
    await recorded({ verdict: 'failed', reason: 'policy_changed' })
  })

  test('the connections of a removed sandbox are cut', async () => {
    setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    const closed = new Promise((resolve) => client.once('close', resolve))
    egress.removePolicy(SANDBOX)
    await closed
  })

  test('another sandbox at an address inherits no connections', async () => {
    setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    const closed = new Promise((resolve) => client.once('close', resolve))
    egress.setPolicy(SANDBOX, { sandboxId: 'other', teamId: 'team-1' }, OPEN)
    await closed
  })

  test('an idle connection is cut', async () => {
    setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    await new Promise((resolve) => client.once('close', resolve))
    await recorded({ verdict: 'failed', reason: 'idle_timeout' })
  })
})
