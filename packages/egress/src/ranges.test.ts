import { expect, test } from 'vitest'
import { ClosedRanges, RangeSet } from './ranges.ts'

test('the smallest block that contains an address is found', () => {
  const ranges = new RangeSet(['0.0.0.0/0', '10.0.0.0/8', '10.1.2.3', '10.1.0.0/16', '255.255.255.255/32'])
  const found = ['10.1.2.3', '10.1.9.9', '10.9.9.9', '9.9.9.9', '255.255.255.255', 'none', '010.1.2.3']
  expect(found.map((address) => ranges.find(address))).toEqual([
    ...['10.1.2.3', '10.1.0.0/16', '10.0.0.0/8', '0.0.0.0/0', '255.255.255.255/32', undefined, undefined],
  ])
})

test('exceptions open closed ranges and networks of the host', () => {
  const closed = new ClosedRanges(['10.0.0.0/8'], ['10.0.0.0/16', '5.9.0.0/16'], () => ['5.9.1.0/24'])
  expect(['10.0.0.1', '10.1.0.1', '5.9.1.1', '8.8.8.8'].map((address) => closed.has(address))).toEqual([
    ...[false, true, false, false],
  ])
})

test('no exception opens the host itself, its loopback, or other sandboxes', () => {
  const blocked = ['0.0.0.0/8', '10.0.0.0/8', '127.0.0.0/8']
  const closed = new ClosedRanges(blocked, ['0.0.0.0/0'], () => ['10.0.0.5', '10.0.0.0/24'], '10.177.0.0/16')
  for (const address of ['10.0.0.5', '10.177.0.14', '10.177.0.13', '127.0.0.1', '127.9.9.9', '0.0.0.0'])
    expect([address, closed.has(address)]).toEqual([address, true])
  expect(closed.has('10.0.0.6')).toBe(false)
})

test('what is no IPv4 address is closed', () => {
  const closed = new ClosedRanges([], ['0.0.0.0/0'])
  for (const address of ['::1', '::ffff:8.8.8.8', '', '8.8.8', '08.8.8.8', '0x8.8.8.8'])
    expect([address, closed.has(address)]).toEqual([address, true])
})
