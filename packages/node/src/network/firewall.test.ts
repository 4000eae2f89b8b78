import { expect, test } from 'vitest'
import { run } from '../host/run.ts'
import { namesFor } from '../instance-names.ts'
import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { elementOf, firewallRules, hostNetworksUpdate, readTable } from './firewall-rules.ts'
import { hostNetworks } from './host-networks.ts'

const options = {
  names: namesFor('/tmp/firewall-test'),
  range: '10.190.0.0/16',
  dns: '9.9.9.9',
  maxConnections: 100,
}
const host = { addresses: ['5.9.1.2', '10.0.0.5'], networks: ['5.9.1.0/26', '10.0.0.0/24'] }
const slot = { interfaceName: 'sl1234-7', address: '10.190.0.30' }
const check = (input: string) => run('nft', ['-c', '-f', '-'], { input })

test('nft accepts the rules, with exceptions, open slots and without networks of the host', async () => {
  await check(firewallRules(options, { open: [], host: { addresses: [], networks: [] } }))
  await check(
    firewallRules({ ...options, allowedRanges: ['10.1.0.0/16'] }, { open: [elementOf(slot)], host }),
  )
})

test('private, link-local and metadata ranges and the networks of the host are dropped before anything is admitted', () => {
  const rules = firewallRules(options, { open: [], host })
  expect(BLOCKED_RANGES).toContain('169.254.0.0/16')
  expect(rules).toContain(
    `ip daddr @host_networks drop\n    ip daddr { ${BLOCKED_RANGES.join(', ')} } drop\n    goto admitted`,
  )
})

test('a listed table is split into rules and open slots', async () => {
  const table = options.names.nftTable
  const inOwnNamespace = (script: string) => run('unshare', ['--net', 'sh', '-c', script])
  const listed = async (commands: string) => {
    const script = `nft -f - <<'END' && nft -f - <<'END2' && nft list table inet ${table}\n${firewallRules(options, { open: [], host })}\nEND\n${commands}\nEND2\n`
    return readTable((await inOwnNamespace(script)).stdout)
  }
  const empty = await listed('')
  expect([...empty.open]).toEqual([])
  const others = ['sl1234-8', 'sl1234-9', 'sl1234-10'].map((interfaceName) => ({ ...slot, interfaceName }))
  const elements = [slot, ...others].map(elementOf)
  const open = await listed(
    `add element inet ${table} open { ${elements.join(', ')} }\nadd element inet ${table} connections { "sl1234-7" ct count over 100 }`,
  )
  expect(open.open).toEqual(new Set(elements))
  expect(open.rules).toBe(empty.rules)
  expect((await listed(`add rule inet ${table} from_sandbox accept`)).rules).not.toBe(empty.rules)
  expect((await listed(hostNetworksUpdate(table, { addresses: [], networks: [] }))).rules).not.toBe(
    empty.rules,
  )
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
  expect(`${a.vethPrefix}9999`.length).toBeLessThanOrEqual(15)
})
