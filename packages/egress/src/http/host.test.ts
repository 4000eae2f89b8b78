import { expect, it } from 'vitest'
import { AmbiguousHostError, hostOf } from './host.ts'

/** Characters that separate, quote or hide parts of a host for some parser. */
const PIECES = [
  ...[
    'example.com',
    'evil.example',
    'EXAMPLE.COM',
    '.',
    '..',
    ':',
    ':80',
    ':443',
    '@',
    '/',
    '\\',
    '?',
    '#',
    '%2e',
  ],
  ...[
    ' ',
    '\t',
    ',',
    ';',
    '[',
    ']',
    '::1',
    '127.0.0.1',
    '0x7f',
    '017',
    '*',
    '-',
    '_',
    '\x00',
    '\x7f',
    '\xe9',
    '\xad',
  ],
  ...[
    'xn--',
    'http://',
    'https://',
    '//',
    '"',
    "'",
    '|',
    '&',
    '=',
    '+',
    '~',
    '{',
    '}',
    '<',
    '>',
    '^',
    '`',
    '!',
    '$',
    '(',
    ')',
  ],
]

/** A generator with a seed, so that a failure can be repeated. */
function* numbers(seed: number): Generator<number, never> {
  let state = seed
  for (;;) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    yield state / 2 ** 32
  }
}

it('never takes a host for a name that another parser may read differently', () => {
  const random = numbers(4711)
  const next = () => random.next().value
  let named = 0
  for (let i = 0; i < 50_000; i++) {
    const count = 1 + Math.floor(next() * 4)
    const host = Array.from({ length: count }, () => PIECES[Math.floor(next() * PIECES.length)]!).join('')
    let found: ReturnType<typeof hostOf>
    try {
      found = hostOf('/', ['Host', host])
    } catch (error) {
      expect(error).toBeInstanceOf(AmbiguousHostError)
      continue
    }
    if (found.name === undefined) continue
    named++
    expect(found.name).toMatch(/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/)
    // the parser of URLs, which is what most clients and servers use
    const parsed = new URL(`http://${host}/`)
    expect(parsed.hostname.replace(/\.$/, ''), host).toBe(found.name)
    expect(parsed.username).toBe('')
  }
  expect(named).toBeGreaterThan(100)
})

it.each([
  ['Example.COM.', 'example.com'],
  ['example.com:8080', 'example.com'],
  ['example.com:', 'example.com'],
  ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
])('reads %s as %s', (host, name) => {
  expect(hostOf('/', ['Host', host])).toMatchObject({ name, authority: host })
})

it.each(['192.0.2.1', '[::1]:443', '[::ffff:192.0.2.1]', '0300.0.0.1', '1.2.3', '0x7f000001', 'example.0x1'])(
  'finds no name in %s',
  (host) => {
    expect(hostOf('/', ['Host', host]).name).toBeUndefined()
  },
)

it('compares all hosts of a request', () => {
  expect(hostOf('http://example.com/a?b#c', ['Host', 'EXAMPLE.com:80'])).toMatchObject({ path: '/a?b' })
  expect(hostOf('/', ['host', 'example.com'], 'example.com:443')).toMatchObject({ name: 'example.com' })
  expect(() => hostOf('/', ['host', 'evil.example'], 'example.com')).toThrow(AmbiguousHostError)
  expect(() => hostOf('http:///', ['host', 'example.com'])).toThrow(AmbiguousHostError)
  expect(() => hostOf('evil.example:443', ['host', 'example.com'])).toThrow(AmbiguousHostError)
  expect(() => hostOf('', ['host', 'example.com'])).toThrow(AmbiguousHostError)
})
