import { beforeEach, describe, expect, test } from 'vitest'
import { type ServerUnderTest, serverUnderTest } from '../test-support/server-under-test.ts'

const under = serverUnderTest()
let t: ServerUnderTest
beforeEach(() => void (t = under.current))

const addresses = (count: number) => Array.from({ length: count }, (_, n) => `11.0.${n >> 8}.${n & 255}`)
const ports = (count: number) => Array.from({ length: count }, (_, n) => n + 1)
const DENY = '0.0.0.0/0'

/** Limits of the shape, which are checked before what a value means (`network-settings.test.ts`). */
const OUTGOING: Array<[field: string, network: object, message: string]> = [
  [
    'allowOut',
    { allowOut: addresses(1001) },
    'network.allowOut must NOT have more than 1000 items, but it has 1001',
  ],
  [
    'denyOut',
    { denyOut: addresses(1001) },
    'network.denyOut must NOT have more than 1000 items, but it has 1001',
  ],
  [
    'a long entry',
    { allowOut: ['a'.repeat(257)], denyOut: [DENY] },
    'network.allowOut.0 must NOT have more than 256 characters, but it has 257',
  ],
  ['an entry that is no text', { denyOut: [1] }, 'network.denyOut.0 must be string, but it is 1'],
  [
    'dnsServers',
    { dnsServers: addresses(11) },
    'network.dnsServers must NOT have more than 10 items, but it has 11',
  ],
  ['rules', { rules: [] }, 'network.rules must be object, but it is array (not shown)'],
  [
    'a header',
    { rules: { 'a.com': [{ transform: { headers: { x: 1 } } }] } },
    'network.rules.a.com.0.transform.headers.x must be string, but it is number (not shown)',
  ],
  ['egressProxy', { egressProxy: {} }, 'network.egressProxy.address is missing in the body'],
]
const INCOMING: Array<[field: string, network: object, message: string]> = [
  [
    'httpsPorts',
    { httpsPorts: ports(129) },
    'network.httpsPorts must NOT have more than 128 items, but it has 129',
  ],
  ['port 0', { httpsPorts: [0] }, 'network.httpsPorts.0 must be >= 1, but it is 0'],
  ['port 65536', { httpsPorts: [65_536] }, 'network.httpsPorts.0 must be <= 65535, but it is 65536'],
  ['a port that is no integer', { httpsPorts: [1.5] }, 'network.httpsPorts.0 must be integer, but it is 1.5'],
  [
    'maskRequestHost',
    { maskRequestHost: 'a'.repeat(256) },
    'network.maskRequestHost must NOT have more than 255 characters, but it has 256',
  ],
  [
    'allowPublicTraffic',
    { allowPublicTraffic: 'no' },
    'network.allowPublicTraffic must be boolean,null, but it is "no"',
  ],
]

describe('a create is refused beyond the limits', () => {
  test.each([...OUTGOING, ...INCOMING])('%s', async (_, network, message) => {
    const { status, body } = await t.call('POST', '/v2/sandboxes', { templateID: 'base', network })
    expect([status, body.message]).toEqual([400, message])
  })
})

describe('an update is refused beyond the limits, in the words of a create', () => {
  test.each(OUTGOING)('%s', async (_, network, message) => {
    const { sandboxID: id } = await t.create()
    const { status, body } = await t.call('PUT', `/sandboxes/${id}/network`, network)
    expect([status, body.message]).toEqual([400, message.replace('network.', '')])
  })
})

test('what is at the limits is accepted', async () => {
  const network = {
    allowOut: addresses(1000),
    denyOut: [...addresses(999), DENY],
    dnsServers: addresses(10),
    httpsPorts: ports(128),
    maskRequestHost: 'a'.repeat(255),
  }
  const { sandboxID: id } = await t.create({ network })
  expect((await t.call('GET', `/sandboxes/${id}`)).body.network).toEqual(network)
})
