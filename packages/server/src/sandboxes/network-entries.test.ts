import { expect, test } from 'vitest'
import { isInRange, nameOf, overlap, rangeOf } from './network-entries.ts'

test.each([
  ['1.1.1.1', '1.1.1.1/32'],
  ['10.1.2.3/16', '10.1.0.0/16'],
  ['255.255.255.255/1', '128.0.0.0/1'],
  ['0.0.0.0/0', '0.0.0.0/0'],
  ['9.9.9.9/0', '0.0.0.0/0'],
])('%s is the block %s', (entry, range) => {
  expect(rangeOf(entry)).toBe(range)
})

test.each([
  ...[
    '',
    '0.0.0.0',
    '0.0.0.0/8',
    '1.1.1.1/33',
    '1.1.1.1/',
    '1.1.1.1/08',
    '1.1.1.1/8/8',
    '1.1.1',
    '256.1.1.1',
  ],
  ...[
    '010.0.0.1',
    '0x7f.0.0.1',
    ' 1.1.1.1',
    '1.1.1.1 ',
    '1.1.1.1:80',
    '1.1.1.1-1.1.1.9',
    '::1',
    '::ffff:1.1.1.1',
  ],
  ...['example.com', '*'],
])('%j is no block', (entry) => {
  expect(rangeOf(entry)).toBeUndefined()
})

test.each([
  ['example.com', 'example.com'],
  ['EXAMPLE.com.', 'example.com'],
  ['*.Example.COM', '*.example.com'],
  ['*', '*'],
  ['münchen.de', 'xn--mnchen-3ya.de'],
  ['*.münchen.de', '*.xn--mnchen-3ya.de'],
  ['_srv.a_b.example', '_srv.a_b.example'],
  ['intranet', 'intranet'],
])('%s is the name %s', (entry, name) => {
  expect(nameOf(entry)).toBe(name)
})

test.each([
  ...['', '.', '*.', '**', '*.*.com', 'a.*.com', '*com', 'a..b', '.com', '-a.com', 'a-.com', 'a b.com'],
  ...[
    'example.com:443',
    'https://example.com',
    'example.com/',
    'ex%61mple.com',
    'a@b.com',
    'a\n.com',
    '[::1]',
  ],
  // addresses in unusual notation, as `inet_aton` and URLs read them
  ...['1.2.3', '010.0.0.1', '0x7f.1', '2130706433', '127.0.0.1', '256.1.1.1', '１.１.１.１'],
  ...[`${'a'.repeat(64)}.com`, `${'a.'.repeat(126)}com`],
])('%j is no name', (entry) => {
  expect(nameOf(entry)).toBeUndefined()
})

test.each([
  ['10.1.2.3', '10.0.0.0/8', true],
  ['11.0.0.0', '10.0.0.0/8', false],
  ['255.255.255.255', '240.0.0.0/4', true],
  ['1.1.1.1', '1.1.1.1', true],
  ['1.1.1.2', '1.1.1.1/32', false],
  ['1.1.1.1', '0.0.0.0/0', true],
])('%s in %s: %s', (address, range, expected) => {
  expect(isInRange(address, range)).toBe(expected)
})

test.each([
  ['a.com', 'a.com', true],
  ['a.com', 'b.com', false],
  ['*', 'a.com', true],
  ['*.a.com', 'x.y.a.com', true],
  ['*.a.com', 'a.com', false],
  ['*.a.com', 'ba.com', false],
  ['*.a.com', '*.b.a.com', true],
  ['*.a.com', '*.b.com', false],
])('%s and %s share names: %s', (one, other, expected) => {
  expect([overlap(one, other), overlap(other, one)]).toEqual([expected, expected])
})
