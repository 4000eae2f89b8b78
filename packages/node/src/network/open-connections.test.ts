import { CLOSED, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import { expect, test } from 'vitest'
import { isRefused, rangeRuleOf, readConnection } from './open-connections.ts'

const RULES: NetworkPolicy = { ...OPEN, allowRanges: ['11.1.0.0/16'], denyRanges: ['11.0.0.0/8', '12.0.0.1'] }
const NAMES: NetworkPolicy = { ...RULES, allowNames: ['a.com'], denyRanges: ['0.0.0.0/0'] }
const TRANSFORMS: NetworkPolicy = { ...OPEN, transforms: { 'a.com': { a: 'b' } } }
const PROXY: NetworkPolicy = { ...OPEN, proxy: { host: 'p', port: 1 } }

test.each([
  ['11.1.2.3', 'allow 11.1.0.0/16'],
  ['11.2.0.0', 'deny 11.0.0.0/8'],
  ['12.0.0.1', 'deny 12.0.0.1'],
  ['12.0.0.2', 'default'],
])('%s is decided by %s', (address, rule) => expect(rangeRuleOf(RULES, address)).toBe(rule))

test.each<[string, NetworkPolicy, string, string, number, boolean]>([
  ['all of a closed sandbox', CLOSED, 'tcp', '12.0.0.2', 80, true],
  ['none of an open one', OPEN, 'udp', '11.0.0.1', 1, false],
  ['a denied address', RULES, 'udp', '11.0.0.1', 1, true],
  ['not an allowed one', RULES, 'tcp', '11.1.0.1', 443, false],
  ['not the resolver of the host, unless all is denied', RULES, 'udp', '169.254.53.53', 53, false],
  ['the resolver of the host, when names have their own', NAMES, 'udp', '169.254.53.53', 53, true],
  ['another resolver, when names have their own', NAMES, 'tcp', '11.1.0.1', 53, true],
  ['the web outside of allowed ranges, which must pass the proxy', NAMES, 'tcp', '12.0.0.2', 443, true],
  ['not the web in allowed ranges', NAMES, 'tcp', '11.1.0.1', 443, false],
  ['the web, which must pass the proxy', TRANSFORMS, 'tcp', '12.0.0.2', 80, true],
  ['not what the proxy does not see', TRANSFORMS, 'tcp', '12.0.0.2', 8080, false],
  ['all TCP, which must pass the upstream proxy', PROXY, 'tcp', '12.0.0.2', 8080, true],
  ['not UDP, which cannot', PROXY, 'udp', '12.0.0.2', 8080, false],
])('a new policy refuses %s', (_, policy, protocol, address, port, refused) => {
  expect(isRefused(policy, { protocol, address, port, mark: 0 })).toBe(refused)
})

test('a connection is read as its sandbox sees it', () => {
  const line =
    'tcp      6 431999 ESTABLISHED src=10.1.0.2 dst=11.0.0.1 sport=5 dport=443 packets=2 bytes=9 src=11.0.0.1 dst=12.0.0.1 sport=443 dport=5 packets=1 bytes=6 [ASSURED] mark=1392574514 use=1'
  expect(readConnection(line)).toEqual({
    ...{ protocol: 'tcp', source: '10.1.0.2', address: '11.0.0.1' },
    ...{ sourcePort: 5, port: 443, mark: 1_392_574_514 },
  })
  const icmp =
    'icmp     1 29 src=10.1.0.2 dst=11.0.0.1 type=8 code=0 id=7 src=11.0.0.1 dst=12.0.0.1 type=0 code=0 id=7 mark=0 use=1'
  expect(readConnection(icmp)).toEqual({ protocol: 'icmp', source: '10.1.0.2', address: '11.0.0.1', mark: 0 })
  expect(
    readConnection('conntrack v1.4.7 (conntrack-tools): 6 flow entries have been shown.'),
  ).toBeUndefined()
})
