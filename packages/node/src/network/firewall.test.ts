import { CLOSED, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import { expect, test } from 'vitest'
import { run } from '../host/run.ts'
import { namesFor } from '../instance-names.ts'
import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { firewallRules, hostNetworksUpdate, rulesOf, slotElementsOf } from './firewall-rules.ts'
import { hostNetworks } from './host-networks.ts'
import { changeCommands, type Elements, elementsOf, joinElements } from './policy-elements.ts'

const options = {
  names: namesFor('/tmp/firewall-test'),
  range: '10.190.0.0/16',
  dns: '9.9.9.9',
  maxConnections: 100,
}
const egress = { proxyPort: 4000, dns: { address: '169.254.53.53', port: 5300 } }
const host = { addresses: ['5.9.1.2', '10.0.0.5'], networks: ['5.9.1.0/26', '10.0.0.0/24'] }
const slot = { interfaceName: 'sl1234-7', address: '10.190.0.30' }
const none: Elements = new Map()
const NAMES: NetworkPolicy = {
  allowRanges: ['11.0.0.0/8', '12.1.2.3'],
  allowNames: ['*.example.com'],
  denyRanges: ['0.0.0.0/0'],
}
const check = (input: string) => run('nft', ['-c', '-f', '-'], { input })
const table = options.names.nftTable
/** Installs rules in a network namespace of their own, runs commands there, and returns the last listing. */
async function listed(commands: string[], elements = none): Promise<{ rules: string; output: string }> {
  const rules = firewallRules({ ...options, egress }, { elements, host })
  const script = `set -e; nft -f - <<'END'\n${rules}\nEND\n${commands.map((command) => `nft '${command}'`).join('\n')}\nnft -t list ruleset inet`
  const { stdout } = await run('unshare', ['--net', 'sh', '-c', script])
  return { rules: rulesOf(table, stdout)!, output: stdout }
}

test('nft accepts the rules, with and without the proxy, exceptions, slots and networks of the host', async () => {
  await check(firewallRules(options, { elements: none, host: { addresses: [], networks: [] } }))
  const elements = elementsOf(slot, NAMES)
  const allowedRanges = ['10.1.0.0/16']
  await check(firewallRules({ ...options, egress, allowedRanges, recordAll: true }, { elements, host }))
})

test('private, link-local and metadata ranges and the networks of the host are refused before anything is admitted', () => {
  const rules = firewallRules(options, { elements: none, host })
  expect(BLOCKED_RANGES).toContain('169.254.0.0/16')
  for (const refuse of ['drop', 'goto refused_closed'])
    expect(rules).toContain(
      `ip daddr @host_networks ${refuse}\n    ip daddr { ${BLOCKED_RANGES.join(', ')} } ${refuse}\n    goto admitted`,
    )
})

test('rules are listed alike whatever policies there are, and a foreign rule shows', async () => {
  const { rules } = await listed([])
  expect((await listed([], elementsOf(slot, NAMES))).rules).toBe(rules)
  const busy = [`add element inet ${table} connections { "sl1234-7" ct count over 100 }`]
  expect((await listed(busy)).rules).toBe(rules)
  expect((await listed([`add rule inet ${table} from_sandbox accept`])).rules).not.toBe(rules)
  expect((await listed([`flush chain inet ${table} ranges`])).rules).not.toBe(rules)
})

test('elements of slots are read from a listing as they were written', async () => {
  const elements = joinElements([
    elementsOf(slot, NAMES),
    elementsOf({ interfaceName: 'sl1234-8', address: '10.190.0.34' }, OPEN),
    elementsOf({ interfaceName: 'sl1234-9', address: '10.190.0.38' }, OPEN),
  ])
  const rules = firewallRules({ ...options, egress }, { elements, host })
  for (const name of ['open', 'ranged', 'names_diverted', 'allow_prefixes', 'allow_hosts', 'deny_prefixes']) {
    const script = `nft -f - <<'END'\n${rules}\nEND\nnft list set inet ${table} ${name}`
    const { stdout } = await run('unshare', ['--net', 'sh', '-c', script])
    expect(slotElementsOf(stdout), name).toEqual(elements.get(name) ?? new Set())
  }
})

test('the networks of the host are replaced in one command', async () => {
  await listed([hostNetworksUpdate(table, host), hostNetworksUpdate(table, { addresses: [], networks: [] })])
})

test('an open slot has one element, one whose policy lets nothing out refuses all, and a change lists only what differs', () => {
  const key = '"sl1234-7" . '
  expect(elementsOf(slot, CLOSED)).toEqual(
    new Map([
      ['ranged_without_dns', new Set([`${key}10.190.0.30`])],
      ['deny_prefixes', new Set([`${key}128.0.0.0`])],
    ]),
  )
  const open = elementsOf(slot, OPEN)
  expect(open).toEqual(new Map([['open', new Set([`${key}10.190.0.30`])]]))
  const deny = (...denyRanges: string[]) => elementsOf(slot, { ...OPEN, denyRanges })
  expect(changeCommands('t', open, open)).toEqual([])
  expect(changeCommands('t', open, none)).toEqual([`delete element inet t open { ${key}10.190.0.30 }`])
  expect(changeCommands('t', deny('11.0.0.0/8'), deny('11.0.0.0/8', '12.0.0.0/8'))).toEqual([
    `add element inet t deny_prefixes { ${key}12.128.0.0 }`,
  ])
  expect(changeCommands('t', open, deny('11.0.0.0/8'))).toEqual([
    `delete element inet t open { ${key}10.190.0.30 }`,
    `add element inet t ranged { ${key}10.190.0.30 }`,
    `add element inet t deny_prefixes { ${key}11.128.0.0 }`,
  ])
})

test('addresses and prefixes are kept apart, the end of a prefix is marked, and doubles are left out', () => {
  const elements = elementsOf(slot, {
    allowRanges: ['11.1.2.3', '11.1.2.3/32'],
    allowNames: [],
    denyRanges: ['11.5.6.7/8', '11.0.0.0/8', '0.0.0.0/0'],
  })
  const key = '"sl1234-7" . '
  expect(elements).toEqual(
    new Map([
      ['ranged_without_dns', new Set([`${key}10.190.0.30`])],
      ['allow_hosts', new Set([`${key}11.1.2.3`])],
      ['deny_prefixes', new Set([`${key}11.128.0.0`, `${key}128.0.0.0`])],
    ]),
  )
})

test.each<[string, Partial<NetworkPolicy>, string | undefined]>([
  ['ranges', { denyRanges: ['11.0.0.0/8'] }, undefined],
  ['names', { allowNames: ['a.com'] }, 'names_diverted'],
  ['transforms', { transforms: { 'a.com': { a: 'b' } } }, 'web_diverted'],
  ['names and transforms', { allowNames: ['a.com'], transforms: { 'a.com': { a: 'b' } } }, 'web_diverted'],
  ['a proxy', { proxy: { host: 'p', port: 1 } }, 'tcp_diverted'],
  ['a proxy and names', { allowNames: ['a.com'], proxy: { host: 'p', port: 1 } }, 'tcp_but_dns_diverted'],
  ['a proxy and nothing allowed', { denyRanges: ['0.0.0.0/0'], proxy: { host: 'p', port: 1 } }, undefined],
])('a policy with %s sends the right connections to the proxy', (_, policy, set) => {
  const elements = elementsOf(slot, { ...OPEN, ...policy })
  expect([...elements.keys()].filter((name) => name.includes('diverted'))).toEqual(
    set ? ['diverted', set] : [],
  )
})

test('connections that the proxy still has are sent there under a policy without names', () => {
  const elements = elementsOf(slot, OPEN, { wasDiverted: true })
  expect([...elements.keys()]).toEqual(['open', 'diverted'])
})

test('the networks of the host are those of every interface except slots, without routes of a VPN for all traffic', () => {
  const entry = (cidr: string, family = 'IPv4') =>
    ({ address: cidr.split('/')[0], cidr, family }) as unknown as NonNullable<
      ReturnType<typeof import('node:os').networkInterfaces>[string]
    >[number]
  expect(
    hostNetworks({
      eth0: [entry('5.9.1.62/26'), entry('fe80::1/64', 'IPv6')],
      'sl12ab-3': [entry('10.177.0.13/30')],
      tun0: [entry('10.8.0.2/1')],
      docker0: [entry('172.17.0.1/16')],
    }),
  ).toEqual({
    addresses: ['5.9.1.62', '10.8.0.2', '172.17.0.1'],
    networks: ['5.9.1.0/26', '172.17.0.0/16'],
  })
})

test('a machine with very many private networks still has its public ones blocked', () => {
  const entry = (address: string) =>
    ({ address, cidr: `${address}/24`, family: 'IPv4' }) as unknown as NonNullable<
      ReturnType<typeof import('node:os').networkInterfaces>[string]
    >[number]
  const many = Array.from({ length: 600 }, (_, i) => entry(`10.${i >> 8}.${i & 255}.1`))
  const { addresses, networks } = hostNetworks({ br0: many, eth0: [entry('93.184.216.34')] })
  expect([addresses[0], networks[0]]).toEqual(['93.184.216.34', '93.184.216.0/24'])
  expect(addresses.length).toBeLessThan(600)
})

test('two homes have different names everywhere', () => {
  const a = namesFor('/a')
  const b = namesFor('/b')
  for (const key of Object.keys(a) as Array<keyof typeof a>) expect(a[key]).not.toBe(b[key])
  expect(a.mark & 0xff00).toBe(0)
  expect(`${a.vethPrefix}9999`.length).toBeLessThanOrEqual(15)
})
