import { execFile } from 'node:child_process'
import { createServer } from 'node:net'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MAX_HELLO_BYTES, readClientHello } from './client-hello.ts'

/** First bytes of real clients, by client. */
const hellos = new Map<string, Buffer>()
const server = createServer((socket) => {
  socket.on('error', () => {})
  socket.once('data', (bytes) => {
    onHello(bytes)
    socket.destroy()
  })
})
let onHello: (bytes: Buffer) => void
let port: number

const python = `
import socket, ssl, sys
context = ssl.create_default_context()
try: context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))), server_hostname='python.example.com')
except Exception: pass
`

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as { port: number }).port
  const capture = async (client: string, start: () => void) => {
    const hello = new Promise<Buffer>((resolve) => (onHello = resolve))
    start()
    hellos.set(client, await hello)
  }
  const command = (file: string, args: string[]) => () =>
    execFile(file, args, { timeout: 5_000 }, () => {}).stdin?.end()
  const openssl = ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'openssl.example.com']
  await capture('openssl', command('openssl', openssl))
  await capture('openssl TLS 1.2', command('openssl', [...openssl, '-tls1_2']))
  const resolved = ['--resolve', `curl.example.com:${port}:127.0.0.1`, `https://curl.example.com:${port}`]
  await capture('curl', command('curl', ['-s', ...resolved]))
  await capture('python', command('python3', ['-c', python, String(port)]))
  await capture('node', () => {
    connect({ port, host: '127.0.0.1', servername: 'node.example.com' }).on('error', () => {})
  })
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

/** Makes a ClientHello message in one record. */
function hello(extensions: Array<[type: number, content: Buffer]>): Buffer {
  const list = Buffer.concat(
    extensions.map(([type, content]) => Buffer.concat([uint16(type), uint16(content.length), content])),
  )
  const body = Buffer.concat([
    ...[Buffer.from([3, 3]), Buffer.alloc(32), Buffer.from([0]), uint16(2), Buffer.from([0x13, 1])],
    ...[Buffer.from([1, 0]), uint16(list.length), list],
  ])
  return record(Buffer.concat([Buffer.from([1, 0]), uint16(body.length), body]))
}
const uint16 = (value: number) => Buffer.from([value >> 8, value & 0xff])
const record = (fragment: Buffer) =>
  Buffer.concat([Buffer.from([22, 3, 1]), uint16(fragment.length), fragment])
const serverName = (...names: string[]): [number, Buffer] => {
  const entries = names.map((name) =>
    Buffer.concat([Buffer.from([0]), uint16(name.length), Buffer.from(name, 'latin1')]),
  )
  const list = Buffer.concat(entries)
  return [0, Buffer.concat([uint16(list.length), list])]
}
const split = (bytes: Buffer, size: number): Buffer => {
  const message = bytes.subarray(5)
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += size) records.push(record(message.subarray(at, at + size)))
  return Buffer.concat(records)
}

describe('real clients', () => {
  test.each(['openssl', 'openssl TLS 1.2', 'curl', 'python', 'node'])('%s', (client) => {
    const name = `${client.split(' ')[0]}.example.com`
    expect(readClientHello(hellos.get(client)!)).toEqual({ kind: 'hello', name, hasEch: false })
  })

  test('a hello that is cut anywhere asks for more, and is never taken for another one', () => {
    for (const bytes of hellos.values())
      for (let length = 0; length < bytes.length; length++) {
        const result = readClientHello(bytes.subarray(0, length))
        const neededBytes = result.kind === 'incomplete' ? result.neededBytes : Number.NaN
        expect(neededBytes).toBeGreaterThan(length)
        expect(neededBytes).toBeLessThanOrEqual(bytes.length)
      }
  })

  test('a hello over many records is read, with other bytes behind it', () => {
    for (const [client, bytes] of hellos) {
      const name = `${client.split(' ')[0]}.example.com`
      for (const size of [40, 100, 1_000])
        expect(readClientHello(Buffer.concat([split(bytes, size), Buffer.from('more')]))).toMatchObject({
          name,
        })
    }
  })

  test('a hello over very many records is no TLS', () => {
    expect(readClientHello(split(hellos.get('node')!, 1))).toEqual({ kind: 'not_tls' })
  })
})

describe('server names', () => {
  test('capitals and a trailing dot are removed', () => {
    expect(readClientHello(hello([serverName('WWW.Example.COM.')]))).toMatchObject({
      name: 'www.example.com',
    })
  })

  test.each(['192.0.2.1', '0x7f.1', 'a b', 'a\0.test', '', '[::1]', 'b\xfccher.test'])(
    '%j is none',
    (name) => {
      const result = readClientHello(hello([serverName(name)]))
      expect(result).toEqual({ kind: 'hello', hasEch: false })
    },
  )

  test('a hello without extensions or without a name has none', () => {
    expect(readClientHello(hello([]))).toEqual({ kind: 'hello', hasEch: false })
    expect(readClientHello(hello([[10, uint16(0)]]))).toEqual({ kind: 'hello', hasEch: false })
  })

  test('two names, two extensions for names and other types of names are no TLS', () => {
    const notTls = { kind: 'not_tls' }
    expect(readClientHello(hello([serverName('a.test', 'b.test')]))).toEqual(notTls)
    expect(readClientHello(hello([serverName('a.test'), serverName('b.test')]))).toEqual(notTls)
    expect(readClientHello(hello([[0, Buffer.from([0, 4, 1, 0, 1, 97])]]))).toEqual(notTls)
    expect(readClientHello(hello([[0, Buffer.alloc(0)]]))).toEqual(notTls)
  })

  test('an encrypted hello is seen, and the outer name is the one that counts', () => {
    expect(readClientHello(hello([serverName('outer.test'), [0xfe0d, Buffer.alloc(100)]]))).toEqual({
      ...{ kind: 'hello', name: 'outer.test', hasEch: true },
    })
  })
})

describe('what is no TLS', () => {
  test.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
    ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
    ['another record', Buffer.from([23, 3, 3, 0, 1, 0])],
    ['another version', Buffer.from([22, 2, 0, 0, 1, 1])],
    ['another message', Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0])],
    ['a record that is too long', Buffer.from([22, 3, 1, 0xff, 0xff])],
    ['a message that is too long', Buffer.from([22, 3, 1, 0, 4, 1, 0, 0xff, 0xff])],
  ])('%s', (_, bytes) => {
    expect(readClientHello(bytes)).toEqual({ kind: 'not_tls' })
  })

  test('a hello is known by its first byte, so that other protocols do not wait', () => {
    expect(readClientHello(Buffer.from('S'))).toEqual({ kind: 'not_tls' })
  })
})

test('mutated hellos never throw, and never give a name that is not in them', () => {
  let seed = 1
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return seed % below
  }
  for (const original of hellos.values()) {
    for (let i = 0; i < 20_000; i++) {
      let bytes: Buffer = Buffer.from(original)
      for (let j = random(6); j >= 0; j--) bytes[random(Math.min(bytes.length, 600))] = random(256)
      if (random(3) === 0) bytes = bytes.subarray(0, random(bytes.length))
      if (random(4) === 0) bytes = split(bytes, 30 + random(500))
      const result = readClientHello(bytes)
      if (result.kind !== 'hello' || result.name === undefined) continue
      const joined = Buffer.concat(fragmentsOf(bytes)).toString('latin1').toLowerCase()
      expect(joined).toContain(result.name)
    }
  }
})

/** Contents of the records, read independently of the parser. */
function fragmentsOf(bytes: Buffer): Buffer[] {
  const fragments: Buffer[] = []
  for (let at = 0; at + 5 <= bytes.length; ) {
    const length = bytes.readUInt16BE(at + 3)
    fragments.push(bytes.subarray(at + 5, at + 5 + length))
    at += 5 + length
  }
  return fragments
}

test('a client that sends byte by byte is looked at a few times for each record', () => {
  const bytes = split(hello([serverName('a.test'), [21, Buffer.alloc(15_000)]]), 300)
  expect(bytes.length).toBeLessThan(MAX_HELLO_BYTES)
  let looks = 0
  let needed = 1
  for (let length = 1; length <= bytes.length; length++) {
    if (length < needed) continue
    looks++
    const result = readClientHello(bytes.subarray(0, length))
    if (result.kind === 'incomplete') needed = result.neededBytes
    else expect([length, result]).toEqual([bytes.length, { kind: 'hello', name: 'a.test', hasEch: false }])
  }
  expect(looks).toBeLessThan(200)
})
