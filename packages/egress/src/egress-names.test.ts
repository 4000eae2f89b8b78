import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ALL_RANGES } from '@sandlot/protocol/node'
import { describe, expect, onTestFinished, test } from 'vitest'
import { EgressWorld, HEAD_TIMEOUT_MS, OWNER, received } from './test-support/egress-world.ts'
import { a } from './test-support/name-server.ts'

const world = new EgressWorld()

describe('TLS', () => {
  test('an allowed name passes without being decrypted, and is recorded', async () => {
    world.allowOnly('first.test')
    expect(await world.fetchByTls('192.0.2.10', 'first.test')).toEqual({ code: 0, output: 'first.test' })
    await world.recorded({ verdict: 'allowed' })
    const { startedAtMs, durationMs, recordId, bytesIn, bytesOut, ...rest } = world.records[0]!
    expect(rest).toEqual({
      ...OWNER,
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
    world.allowOnly('first.test')
    const before = world.second.connections
    const { code, output } = await world.fetchByTls('198.51.100.20', 'second.test')
    expect([code, output]).toEqual([35, expect.stringMatching(/reset/i)])
    expect(world.second.connections).toBe(before)
    await world.recorded({
      ...{ name: 'second.test', verdict: 'denied', rule: 'deny 0.0.0.0/0', bytesOut: 0, bytesIn: 0 },
    })
  })

  test('the host decides where an allowed name is: a forged name leads to its own server', async () => {
    world.allowOnly('first.test')
    const { output } = await world.fetchByTls('198.51.100.20', 'first.test')
    expect(output).toBe('first.test')
    expect(world.first.names.at(-1)).toBe('first.test')
    expect(world.second.names).not.toContain('first.test')
  })

  test('an allowed name in capitals, with a dot at its end, or below a wildcard passes', async () => {
    world.allowOnly('*.test')
    expect((await world.fetchByTls('192.0.2.10', 'FIRST.test')).output.toLowerCase()).toBe('first.test')
  })

  test('a name that leads into a closed range is refused, with one address of several too', async () => {
    world.allowOnly('inside.test', 'mixed.test')
    for (const name of ['inside.test', 'mixed.test']) {
      expect((await world.fetchByTls('192.0.2.10', name)).code).toBe(35)
      await world.recorded({ name, verdict: 'failed', reason: 'private_address' })
    }
  })

  test('a silent address of a name is passed over', async () => {
    world.network.silence('192.0.2.11')
    onTestFinished(() => world.network.unsilence())
    world.names.records.set(...a('half.test', '192.0.2.11', '192.0.2.10'))
    world.allowOnly('half.test')
    expect((await world.fetchByTls('192.0.2.10', 'half.test')).output).toBe('half.test')
  })

  test('a name that does not exist, and a port that nobody listens on, are recorded as such', async () => {
    world.allowOnly('absent.test', 'dead.test')
    await world.fetchByTls('192.0.2.10', 'absent.test')
    await world.recorded({ verdict: 'failed', reason: 'name_not_found' })
    await world.fetchByTls('192.0.2.11', 'dead.test')
    await world.recorded({ verdict: 'failed', reason: 'connection_refused' })
  })

  test('an allowed range is reached by its address, whatever the name', async () => {
    world.setPolicy({ allowNames: ['x.test'], allowRanges: ['198.51.100.0/24'], denyRanges: [ALL_RANGES] })
    expect((await world.fetchByTls('198.51.100.20', 'first.test')).output).toBe('first.test')
    await world.recorded({ rule: 'allow 198.51.100.0/24', name: 'first.test' })
  })

  test('without a server name the address decides', async () => {
    world.allowOnly('first.test')
    const command = ['openssl', 's_client', '-connect', '192.0.2.10:443', '-noservername']
    expect((await world.network.run(command)).code).not.toBe(0)
    await world.recorded({ verdict: 'denied', protocol: 'tls' })
  })

  test('a hello that comes byte by byte, in many records, is read', async () => {
    world.allowOnly('first.test')
    const hello = await world.first.helloOf('first.test')
    const client = await world.network.connect('192.0.2.10', 443)
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
    await world.serve('198.51.100.20', 4443, (socket) => socket.end('220 hello\r\n'))
    world.setPolicy({ allowNames: ['first.test'], denyRanges: [ALL_RANGES] })
    const noise = await world.network.connect('192.0.2.10', 443)
    noise.write('SSH-2.0-OpenSSH\r\n')
    expect(await received(noise)).toBe('<ECONNRESET>')
    const silent = await world.network.connect('192.0.2.10', 443)
    const startedAt = performance.now()
    expect(await received(silent)).toBe('<ECONNRESET>')
    expect(performance.now() - startedAt).toBeGreaterThan(HEAD_TIMEOUT_MS - 50)
    await world.recorded({ verdict: 'denied' })
  })
})

describe('DNS', () => {
  /** Runs a command in the sandbox with a name server that the firewall redirects. */
  const withResolver = (command: string) => {
    const configuration = join(world.directory, 'resolv.conf')
    writeFileSync(configuration, 'nameserver 8.8.8.8\n')
    return world.network.run([
      'unshare',
      '-m',
      'sh',
      '-c',
      `mount --bind ${configuration} /etc/resolv.conf; ${command}`,
    ])
  }

  test('programs of the sandbox find allowed names, and no others', async () => {
    world.allowOnly('first.test')
    const curl = 'curl -sS -k --max-time 5 https://first.test'
    expect(await withResolver(curl)).toEqual({ code: 0, output: 'first.test' })
    expect((await withResolver('getent ahostsv4 first.test')).output).toMatch(/^192\.0\.2\.10 /)
    expect(await withResolver('getent hosts second.test')).toEqual({ code: 2, output: '' })
    await world.recorded({
      protocol: 'dns',
      name: 'second.test',
      verdict: 'denied',
      rule: 'name not allowed',
    })
  })

  test('libc takes answers over TCP', async () => {
    world.names.records.set(...a('many.test', ...Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`)))
    world.allowOnly('many.test')
    expect((await withResolver('getent ahostsv4 many.test | grep -c STREAM')).output.trim()).toBe('100')
  })
})

describe('HTTP', () => {
  test('requests on port 80 are decided by their Host, and what is no HTTP by the address', async () => {
    const answer = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
    await world.serve('192.0.2.10', 80, (socket) => socket.once('data', () => socket.end(answer)))
    world.allowOnly('first.test')
    const get = (name: string) =>
      world.network.run([
        'curl',
        '-sS',
        '--max-time',
        '5',
        '--resolve',
        `${name}:80:192.0.2.10`,
        `http://${name}/a?b=c`,
      ])
    expect(await get('first.test')).toEqual({ code: 0, output: 'ok' })
    await world.recorded({ protocol: 'http', verdict: 'allowed', rule: 'allow first.test' })
    expect((await get('second.test')).output).not.toContain('ok')
    await world.recorded({ protocol: 'http', verdict: 'denied', name: 'second.test' })
    const other = await world.network.connect('192.0.2.10', 80)
    other.write('\x16\x03\x01')
    expect(await received(other)).toBe('<ECONNRESET>')
  })
})

test('names with a transform are intercepted, if they are allowed', async () => {
  const transforms = { 'first.test': { 'X-Added': 'value' }, 'second.test': { 'X-Added': 'value' } }
  world.setPolicy({ allowNames: ['first.test'], denyRanges: [ALL_RANGES], transforms })
  // the upstream's certificate is trusted by nobody
  expect((await world.fetchByTls('192.0.2.10', 'first.test', ['-w', ' %{http_code}'])).output).toMatch(
    / 502$/,
  )
  await world.recorded({ protocol: 'https', name: 'first.test', rule: 'allow first.test' })
  expect((await world.fetchByTls('198.51.100.20', 'second.test')).code).toBe(35)
  await world.recorded({ protocol: 'tls', name: 'second.test', verdict: 'denied' })
})
