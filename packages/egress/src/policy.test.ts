import { CLOSED, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import { describe, expect, test } from 'vitest'
import { hostName } from './names.ts'
import { compilePolicy } from './policy.ts'
import { ClosedRanges } from './ranges.ts'

const closed = new ClosedRanges(['10.0.0.0/8', '203.0.113.0/24'], ['203.0.113.7/32'])
const compiled = (fields: Partial<NetworkPolicy>) => compilePolicy({ ...OPEN, ...fields }, closed)
const ALL = '0.0.0.0/0'

describe('precedence', () => {
  const policy = compiled({
    allowNames: ['api.example.com', '*.example.org'],
    allowRanges: ['93.184.0.0/16', '93.184.216.0/24', '10.1.0.0/16'],
    denyRanges: [ALL, '93.184.216.34/32'],
  })

  test('an allowed name decides first, also for addresses that are denied or closed', () => {
    expect(policy.decide('api.example.com', '8.8.8.8')).toEqual({
      isAllowed: true,
      rule: 'allow api.example.com',
      isByName: true,
    })
    expect(policy.decide('a.b.example.org', '10.0.0.1')).toMatchObject({ rule: 'allow *.example.org' })
  })

  test('an allowed range beats a denied one, and the smallest range is named', () => {
    expect(policy.decide(undefined, '93.184.216.34')).toEqual({
      isAllowed: true,
      rule: 'allow 93.184.216.0/24',
      isByName: false,
    })
    expect(policy.decide('other.example', '93.184.1.1')).toMatchObject({ rule: 'allow 93.184.0.0/16' })
  })

  test('a range decides before the default', () => {
    expect(policy.decide(undefined, '8.8.8.8')).toEqual({
      isAllowed: false,
      rule: `deny ${ALL}`,
      isByName: false,
    })
    expect(compiled({ denyRanges: ['8.8.0.0/16'] }).decide(undefined, '8.8.8.8').rule).toBe('deny 8.8.0.0/16')
  })

  test('what nothing names is allowed, and nothing is under CLOSED', () => {
    expect(compiled({}).decide('a.example', '8.8.8.8')).toEqual({
      isAllowed: true,
      rule: 'default',
      isByName: false,
    })
    expect(compiled(CLOSED).decide('a.example', '8.8.8.8').isAllowed).toBe(false)
  })

  test('no policy opens a closed range; only the administrator does', () => {
    expect(policy.decide(undefined, '10.1.2.3')).toEqual({
      isAllowed: false,
      rule: 'closed range',
      isByName: false,
    })
    expect(compiled({}).decide(undefined, '203.0.113.8').rule).toBe('closed range')
    expect(compiled({}).decide(undefined, '203.0.113.7').rule).toBe('default')
  })

  test('networks of the host are closed as they change', () => {
    let networks = ['5.9.1.0/26']
    const policy = compilePolicy(OPEN, new ClosedRanges([], [], () => networks))
    expect(policy.decide(undefined, '5.9.1.7').rule).toBe('closed range')
    networks = []
    expect(policy.decide(undefined, '5.9.1.7').rule).toBe('default')
  })
})

describe('names', () => {
  const allows = (pattern: string, name: string) =>
    compiled({ allowNames: [pattern], denyRanges: [ALL] }).decide(hostName(name), '8.8.8.8').isAllowed

  test.each([
    ['example.com', 'example.com', true],
    ['example.com', 'EXAMPLE.com.', true],
    ['Example.COM', 'example.com', true],
    ['example.com', 'a.example.com', false],
    ['example.com', 'notexample.com', false],
    ['example.com', 'example.com.evil.test', false],
    ['*.example.com', 'a.example.com', true],
    ['*.example.com', 'a.b.c.example.com', true],
    ['*.example.com', 'example.com', false],
    ['*.example.com', 'notexample.com', false],
    ['*', 'anything.test', true],
    ['*', 'single', true],
  ])('%s for %s: %s', (pattern, name, expected) => {
    expect(allows(pattern, name)).toBe(expected)
  })

  test.each([
    '',
    '.',
    'example.com..',
    'a..b',
    '127.0.0.1',
    '127.1',
    '0x7f.1',
    '0177.0.0.01',
    '2130706433',
    '1.2.3.4.',
    '::1',
    '[::1]',
    '::ffff:10.0.0.1',
    'a b.test',
    'exämple.com',
    'example.com\0.evil.test',
    'example.com:443',
    '*.example.com',
    `${'a'.repeat(64)}.test`,
    `${'a.'.repeat(127)}test`,
  ])('%j is no name', (text) => {
    expect(hostName(text)).toBeUndefined()
  })

  test('punycode and underscores are names', () => {
    expect(hostName('XN--Bcher-KVA.example')).toBe('xn--bcher-kva.example')
    expect(hostName('_acme.example.com')).toBe('_acme.example.com')
  })

  test('the exact name has its transform, else the longest wildcard', () => {
    const policy = compiled({
      transforms: {
        'a.x.test': { h: 'exact' },
        '*.x.test': { h: 'short' },
        '*.b.x.test': { h: 'long' },
      },
    })
    const header = (name: string) => policy.transformFor(name)?.h
    expect([header('a.x.test'), header('c.x.test'), header('a.b.x.test'), header('b.x.test')]).toEqual([
      'exact',
      'short',
      'long',
      'short',
    ])
    expect(header('x.test')).toBeUndefined()
  })

  test('DNS answers for allowed names when all is denied, else for all names', () => {
    const strict = compiled({ allowNames: ['*.example.com'], denyRanges: [ALL] })
    expect(strict.ruleForQuery('a.example.com')).toBe('allow *.example.com')
    expect(strict.ruleForQuery('evil.test')).toBeUndefined()
    expect(compiled({ allowNames: ['example.com'] }).ruleForQuery('evil.test')).toBe('default')
  })

  test('the cost of a decision does not grow with the number of rules', () => {
    const many = compiled({
      allowNames: Array.from({ length: 10_000 }, (_, i) => `*.name-${i}.test`),
      allowRanges: Array.from({ length: 10_000 }, (_, i) => `11.${i >> 8}.${i & 255}.0/24`),
      denyRanges: [ALL],
    })
    const before = process.cpuUsage()
    for (let i = 0; i < 10_000; i++) many.decide('a.b.c.d.other.test', '8.8.8.8')
    // milliseconds of the processor; a search of all rules takes seconds
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(500)
  })
})

test('a range that is no IPv4 CIDR block is refused with its text', () => {
  for (const range of ['1.2.3/24', '1.2.3.4/33', '1.2.3.4/', '01.2.3.4', '::/0', '1.2.3.256'])
    expect(() => compiled({ denyRanges: [range] })).toThrow(`'${range}' is not an IPv4 CIDR block`)
})
