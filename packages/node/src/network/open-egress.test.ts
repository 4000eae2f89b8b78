import type { NetworkInterfaceInfo } from 'node:os'
import { expect, test } from 'vitest'
import { CurrentHost } from './open-egress.ts'

const entry = (cidr: string): NetworkInterfaceInfo[] => [
  { family: 'IPv4', address: cidr.split('/')[0]!, cidr, netmask: '', mac: '', internal: false },
]
const INTERFACES = {
  eth0: entry('12.0.0.5/24'),
  'slaaaa-0': entry('10.1.0.1/30'),
  'slbbbb-0': entry('10.2.0.1/30'),
  'slbbbb-7': entry('10.2.0.29/30'),
}

test('the proxy keeps sandboxes of other instances closed as it does the host itself; the firewall leaves them to those', () => {
  const host = new CurrentHost({ vethPrefix: 'slaaaa-' })
  expect(host.read(INTERFACES)).toEqual({ addresses: ['12.0.0.5'], networks: ['12.0.0.0/24'] })
  expect(host.ranges()).toEqual([
    '12.0.0.5',
    ...['10.2.0.1', '10.2.0.2', '10.2.0.29', '10.2.0.30'],
    '12.0.0.0/24',
  ])
})

test('a sandbox of another instance that starts later is closed too, and the array stays while nothing changes', () => {
  const host = new CurrentHost({ vethPrefix: 'slaaaa-' })
  host.read(INTERFACES)
  const before = host.ranges()
  host.read({ ...INTERFACES, 'slaaaa-1': entry('10.1.0.5/30') })
  expect(host.ranges()).toBe(before)
  host.read({ ...INTERFACES, 'slcccc-0': entry('10.3.0.1/30') })
  expect(host.ranges()).toContain('10.3.0.2')
})
