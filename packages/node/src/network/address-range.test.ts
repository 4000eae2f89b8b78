import { expect, test } from 'vitest'
import { parseAddressRange } from './address-range.ts'

test('a range is divided into /30 slots with the addresses of gateway and sandbox', () => {
  const range = parseAddressRange('10.177.0.0/16')
  expect(range.slotCount).toBe(16_384)
  expect(range.slot(0)).toEqual({ gateway: '10.177.0.1', sandbox: '10.177.0.2' })
  expect(range.slot(64)).toEqual({ gateway: '10.177.1.1', sandbox: '10.177.1.2' })
  expect(range.slot(16_383)).toEqual({ gateway: '10.177.255.253', sandbox: '10.177.255.254' })
})

test.each(['10.177.0.0', '10.177.0.0/8', '10.177.0.0/30', '300.1.0.0/16', 'x/16', ''])(
  '%j is refused',
  (cidr) => {
    expect(() => parseAddressRange(cidr)).toThrow(/not an IPv4 CIDR/)
  },
)

test('a range with host bits is rejected with a corrected range', () => {
  expect(() => parseAddressRange('10.177.3.0/16')).toThrow('use 10.177.0.0/16')
})
