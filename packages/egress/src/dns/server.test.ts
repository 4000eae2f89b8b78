import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { connect } from 'node:net'
import { ALL_RANGES, type ConnectionRecord, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import { type Answer, decode, encode, type RecordType } from 'dns-packet'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { compilePolicy } from '../policy.ts'
import { ClosedRanges } from '../ranges.ts'
import { Recorder } from '../recorder.ts'
import { Sandboxes } from '../sandboxes.ts'
import { a, type NameServer, startNameServer } from '../test-support/name-server.ts'
import { Queries } from './queries.ts'
import { type DnsServer, startDnsServer } from './server.ts'
import { MessageReader, withLength } from './tcp-messages.ts'

const owner = { sandboxId: 'sandbox-1', teamId: 'team-1' }
const closed = new ClosedRanges(['10.0.0.0/8'], [])
const sandboxes = new Sandboxes()
let upstream: NameServer
let server: DnsServer
let records: ConnectionRecord[]

beforeAll(async () => {
  upstream = await startNameServer()
  const [address, port] = upstream.address.split(':')
  const recorder = new Recorder()
  recorder.onRecord((record) => records.push(record))
  const queries = new Queries({
    ...{ recorder, closed, upstream: [{ address: address!, port: Number(port) }] },
    ...{ maxPerSandbox: 5, maxInTotal: 10 },
  })
  server = await startDnsServer({ address: '127.0.0.1', port: 0 }, sandboxes, queries)
})
beforeEach(() => {
  records = []
  upstream.questions.length = 0
  setPolicy({ allowNames: ['*.example.test'], denyRanges: [ALL_RANGES] })
})
afterEach(() => {
  sandboxes.removeAll()
  upstream.isSilent = false
})
afterAll(() => Promise.all([server.close(), upstream.close()]))

const setPolicy = (fields: Partial<NetworkPolicy>) =>
  sandboxes.set('127.0.0.1', owner, compilePolicy({ ...OPEN, ...fields }, closed), false)
const serve = ([key, answers]: [string, Answer[]]) => upstream.records.set(key, answers)

const query = (name: string, type: RecordType | string, extra: object = {}) =>
  encode({
    ...{ type: 'query', id: 7, flags: 0x100 },
    questions: [{ name, type: type as RecordType, class: 'IN' }],
    ...extra,
  })

/** Sends a UDP message; undefined: no answer within the time. */
function exchange(message: Buffer, waitMs = 1_000): Promise<Buffer | undefined> {
  const socket = createSocket('udp4')
  return new Promise((resolve) => {
    const finish = (answer?: Buffer) => {
      clearTimeout(timer)
      socket.close()
      resolve(answer)
    }
    const timer = setTimeout(() => finish(), waitMs)
    socket.once('message', finish)
    socket.send(message, server.port, server.address)
  })
}

const ask = async (name: string, type: RecordType | string, extra?: object) => {
  const answer = await exchange(query(name, type, extra))
  return decode(answer!) as ReturnType<typeof decode> & { rcode: string }
}

function askOverTcp(messages: Buffer[]): Promise<Buffer[]> {
  const socket = connect(server.port, server.address)
  const answers: Buffer[] = []
  return new Promise((resolve) => {
    const reader = new MessageReader(0xffff, (message) => {
      answers.push(Buffer.from(message))
      if (answers.length === messages.length) socket.destroy()
    })
    socket.on('data', (chunk) => reader.add(chunk))
    socket.on('error', () => {})
    socket.once('close', () => resolve(answers))
    for (const message of messages) socket.write(withLength(message))
  })
}

test('an allowed name is answered with its chain of names, as it was asked', async () => {
  serve([
    'www.example.test A',
    [
      { type: 'CNAME', name: 'www.example.test', ttl: 60, data: 'cdn.other.test' },
      { type: 'A', name: 'cdn.other.test', ttl: 60, data: '192.0.2.1' },
    ],
  ])
  const answer = await ask('WWW.example.test', 'A')
  expect(answer.questions![0]!.name).toBe('WWW.example.test')
  expect(
    answer.answers!.map((record) => [record.name, record.type, (record as { data: string }).data]),
  ).toEqual([
    ['WWW.example.test', 'CNAME', 'cdn.other.test'],
    ['cdn.other.test', 'A', '192.0.2.1'],
  ])
  expect(records).toEqual([
    expect.objectContaining({
      ...{ ...owner, protocol: 'dns', name: 'www.example.test', port: 53 },
      ...{ verdict: 'allowed', rule: 'allow *.example.test' },
    }),
  ])
})

test('c-ares takes the answers', async () => {
  serve(a('a.example.test', '192.0.2.1', '192.0.2.2'))
  const resolver = new Resolver()
  resolver.setServers([`${server.address}:${server.port}`])
  expect((await resolver.resolve4('a.example.test')).sort()).toEqual(['192.0.2.1', '192.0.2.2'])
  await expect(resolver.resolve6('a.example.test')).rejects.toThrow('ENODATA')
  await expect(resolver.resolve4('other.test')).rejects.toThrow('EREFUSED')
  await expect(resolver.resolve4('absent.example.test')).rejects.toThrow('ENOTFOUND')
})

test('other names are refused and never asked for', async () => {
  for (const name of ['example.test', 'secret-data.evil.test', 'example.test.evil.test', '.']) {
    expect((await ask(name, 'A')).rcode).toBe('REFUSED')
  }
  expect(upstream.questions).toEqual([])
  expect(records.map(({ verdict }) => verdict)).toEqual(['denied', 'denied', 'denied', 'denied'])
})

test('a label with a dot in it is no way around the rules', async () => {
  const message = query('xxxxxxxxxxxxxx', 'A')
  const label = Buffer.from([9, ...Buffer.from('a.example'), 4, ...Buffer.from('test')])
  label.copy(message, 12)
  const answer = await exchange(message)
  // the text of the name is what was compared, and a new name was made of it
  expect(upstream.questions.every((question) => question.startsWith('a.example.test '))).toBe(true)
  expect(answer).toBeDefined()
})

test('IPv6 addresses and keys to hide names get an empty answer without a question to anybody', async () => {
  for (const type of ['AAAA', 'UNKNOWN_65', 'UNKNOWN_64']) {
    const answer = await ask('a.example.test', type)
    expect([answer.rcode, answer.answers]).toEqual(['NOERROR', []])
  }
  expect(upstream.questions).toEqual([])
})

test('other types are forwarded for allowed names, and transfers, ANY and reverse names are not', async () => {
  serve([
    'a.example.test MX',
    [{ type: 'MX', name: 'a.example.test', data: { preference: 1, exchange: 'm.test' } }],
  ])
  expect((await ask('a.example.test', 'MX')).answers).toHaveLength(1)
  for (const type of ['ANY', 'AXFR', 'IXFR', 'PTR'])
    expect([type, (await ask('a.example.test', type)).rcode]).toEqual([type, 'REFUSED'])
})

test('services of an allowed name, in labels with underscores, belong to the name', async () => {
  setPolicy({ allowNames: ['deb.example.test'], denyRanges: [ALL_RANGES] })
  serve(['_http._tcp.deb.example.test SRV', []])
  expect((await ask('_http._tcp.deb.example.test', 'SRV')).rcode).toBe('NOERROR')
  expect((await ask('_http._tcp.example.test', 'SRV')).rcode).toBe('REFUSED')
  expect((await ask('x._tcp.deb.example.test', 'SRV')).rcode).toBe('REFUSED')
})

test('without deny-all every name is answered, and with an empty list of servers none', async () => {
  serve(a('other.test', '192.0.2.1'))
  setPolicy({ allowNames: ['x.test'] })
  expect((await ask('other.test', 'A')).answers).toHaveLength(1)
  setPolicy({ allowNames: ['other.test'], dnsServers: [] })
  expect((await ask('other.test', 'A')).rcode).toBe('REFUSED')
})

test('servers of the policy in closed ranges are not asked', async () => {
  setPolicy({ allowNames: ['other.test'], dnsServers: ['10.0.0.1'] })
  expect((await ask('other.test', 'A')).rcode).toBe('REFUSED')
  expect(records.at(-1)).toMatchObject({ verdict: 'failed', reason: 'private_address' })
})

test('an answer that is too long for UDP is cut with TC, and comes whole over TCP', async () => {
  serve(a('many.example.test', ...Array.from({ length: 100 }, (_, i) => `192.0.2.${i}`)))
  const cut = await ask('many.example.test', 'A')
  expect([cut.flag_tc, cut.answers]).toEqual([true, []])
  const [whole] = await askOverTcp([query('many.example.test', 'A')])
  expect(decode(whole!).answers).toHaveLength(100)
})

test('EDNS allows longer answers over UDP', async () => {
  serve(a('some.example.test', ...Array.from({ length: 30 }, (_, i) => `192.0.2.${i}`)))
  expect((await ask('some.example.test', 'A')).flag_tc).toBe(true)
  const opt = { type: 'OPT', name: '.', udpPayloadSize: 4_096, flags: 0, options: [] }
  const answer = await ask('some.example.test', 'A', { additionals: [opt] })
  expect([answer.answers!.length, answer.additionals!.length]).toEqual([30, 1])
})

test('several queries on one TCP connection are answered', async () => {
  serve(a('a.example.test', '192.0.2.1'))
  const answers = await askOverTcp([query('a.example.test', 'A'), query('other.test', 'A')])
  expect(answers.map((answer) => (decode(answer) as unknown as { rcode: string }).rcode).sort()).toEqual([
    'NOERROR',
    'REFUSED',
  ])
})

test('unknown sandboxes get no answer', async () => {
  sandboxes.removeAll()
  expect(await exchange(query('a.example.test', 'A'), 100)).toBeUndefined()
  expect(await askOverTcp([query('a.example.test', 'A')])).toEqual([])
})

test('queries that wait are bounded for each sandbox', async () => {
  upstream.isSilent = true
  const waiting = Array.from({ length: 5 }, () => exchange(query('a.example.test', 'A'), 500))
  await expect.poll(() => upstream.questions.length).toBe(5)
  expect((await ask('a.example.test', 'A')).rcode).toBe('SERVFAIL')
  expect(records).toEqual([expect.objectContaining({ verdict: 'denied', rule: 'query limit' })])
  await Promise.all(waiting)
})

test('garbage is answered with an error or not at all, and the server lives on', async () => {
  serve(a('a.example.test', '192.0.2.1'))
  const good = query('a.example.test', 'A')
  const isAnswer = Buffer.from(good)
  isAnswer[2] = 0x81
  expect(await exchange(isAnswer, 100)).toBeUndefined()
  const update = Buffer.from(good)
  update[2] = 0x28
  expect((decode((await exchange(update))!) as unknown as { rcode: string }).rcode).toBe('NOTIMP')
  const socket = createSocket('udp4')
  for (let i = 0; i < 2_000; i++) {
    const bytes = Buffer.from(good)
    for (let j = 0; j < 4; j++)
      bytes[Math.floor(Math.random() * bytes.length)] = Math.floor(Math.random() * 256)
    socket.send(
      bytes.subarray(0, Math.floor(Math.random() * (bytes.length + 1))),
      server.port,
      server.address,
    )
  }
  await new Promise<void>((resolve) => socket.close(resolve))
  await expect.poll(async () => (await ask('a.example.test', 'A')).rcode).toBe('NOERROR')
})
