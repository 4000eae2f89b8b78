import { InvalidArgumentError } from 'commander'
import { describe, expect, it } from 'vitest'
import { parseAge } from './age.ts'
import { parseCheckpointId } from './checkpoint-id.ts'
import { parseDate } from './date.ts'
import { parseEnv } from './env.ts'
import { parseLabel } from './labels.ts'
import { lifecycleOf } from './lifecycle.ts'
import { collect } from './limit.ts'
import { isAtLeast } from './log-level.ts'
import { parseMetadata } from './metadata.ts'
import { parsePortMapping } from './port-mapping.ts'
import { parsePlace } from './remote-path.ts'
import { parseStates } from './state.ts'
import { parseTemplateName } from './template-name.ts'
import { parseWholeNumber } from './whole-number.ts'

describe('an option of the command line', () => {
  it.each<[string, unknown, unknown]>([
    ['variables keep everything after the first =', parseEnv('A=b=c', { X: '1' }), { X: '1', A: 'b=c' }],
    ['an empty value is a value', parseEnv('A='), { A: '' }],
    [
      'metadata in one word and in several',
      parseMetadata('b=2, c=3', { a: '1' }),
      { a: '1', b: '2', c: '3' },
    ],
    ['a label with a comma', parseLabel('b=2,c=3', { a: '1' }), { a: '1', b: '2,c=3' }],
    ['both states', parseStates('Running,paused'), ['running', 'paused']],
    ['an ISO date', parseDate('2025-01-01T00:00:00Z').getTime(), Date.UTC(2025, 0)],
    ['days are an age in seconds', parseAge('7d'), 604_800],
    ['zero seconds are an age', parseAge('0s'), 0],
    ['a checkpoint', parseCheckpointId('c4kq0z9m1x7w2v5t8r3ya'), 'c4kq0z9m1x7w2v5t8r3ya'],
    ['a template name is lower case', parseTemplateName(' My-App:v1.2 '), 'my-app:v1.2'],
    ['a template of a namespace', parseTemplateName('team/app'), 'team/app'],
    ['one port for both sides', parsePortMapping('8080'), [{ localPort: 8080, remotePort: 8080 }]],
    ['any free local port', parsePortMapping('0:80', []), [{ localPort: 0, remotePort: 80 }]],
    ['a local path', parsePlace('./iabc:x'), { kind: 'local', path: './iabc:x' }],
    ['a path in a sandbox', parsePlace('iabc:/a:b'), { kind: 'remote', sandboxId: 'iabc', path: '/a:b' }],
    [
      'the home directory in a sandbox',
      parsePlace('iabc:'),
      { kind: 'remote', sandboxId: 'iabc', path: '.' },
    ],
    ['a path with a Windows drive is local', parsePlace('C:\\x'), { kind: 'local', path: 'C:\\x' }],
    ['the least number', parseWholeNumber('30', { least: 30 }), 30],
  ])('%s', (_, parsed, expected) => {
    expect(parsed).toEqual(expected)
  })

  it.each<[string, () => unknown]>([
    ['a variable without a value', () => parseEnv('A')],
    ['a variable without a name', () => parseEnv('=b')],
    ['metadata without a value', () => parseMetadata('a=1,b')],
    ['a label without a value', () => parseLabel('a')],
    ['an unknown state', () => parseStates('running,asleep')],
    ['a date in words', () => parseDate('March 7')],
    ['a date that does not exist', () => parseDate('2025-13-41')],
    ['a number as a date', () => parseDate('1')],
    ['a template name with a space', () => parseTemplateName('a b')],
    ['a template name of 129 letters', () => parseTemplateName('a'.repeat(129))],
    ['port 0 of the sandbox', () => parsePortMapping('8080:0')],
    ['a port too high', () => parsePortMapping('65536')],
    ['an empty path', () => parsePlace('')],
    ['an age without a unit', () => parseAge('7')],
    ['an age without a number', () => parseAge('d')],
    ['an age in months', () => parseAge('7M')],
    ['an age that is too large', () => parseAge('99999999999999w')],
    ['a checkpoint that would change the path', () => parseCheckpointId('../x')],
    ['a fraction', () => parseWholeNumber('1.5')],
    ['a negative number', () => parseWholeNumber('-1')],
    ['an odd number where an even one is required', () => parseWholeNumber('3', { isEven: true })],
    ['a number above the maximum', () => parseWholeNumber('11', { most: 10 })],
  ])('refuses %s', (_, parse) => {
    expect(parse).toThrow(InvalidArgumentError)
  })
})

describe('lifecycleOf', () => {
  it('sets nothing when no option is given, so that the server decides', () => {
    expect(lifecycleOf({})).toBeUndefined()
  })

  it('resumes only sandboxes that pause', () => {
    const flags = { 'lifecycle.autoresume': true }
    expect(() => lifecycleOf(flags)).toThrow('requires --lifecycle.ontimeout pause')
    expect(lifecycleOf({ ...flags, 'lifecycle.ontimeout': 'pause' })).toEqual({
      onTimeout: 'pause',
      autoResume: true,
    })
  })
})

describe('collect', () => {
  const pages = (...sizes: number[]) => ({
    get hasNext() {
      return sizes.length > 0
    },
    nextItems: async () => Array.from({ length: sizes.shift()! }, (_, at) => at),
  })

  it('stops at the limit and reports that there are more items', async () => {
    expect(await collect(pages(2, 2, 2), 3)).toMatchObject({ items: { length: 3 }, hasMore: true })
    expect(await collect(pages(2, 2), 2)).toMatchObject({ items: { length: 2 }, hasMore: true })
    expect(await collect(pages(2), 2)).toMatchObject({ items: { length: 2 }, hasMore: false })
  })

  it('reads everything for 0', async () => {
    expect(await collect(pages(2, 2, 1), 0)).toMatchObject({ items: { length: 5 }, hasMore: false })
  })
})

it('lines of an unknown level are shown', () => {
  expect(['debug', 'info', 'WARN', 'error', 'fatal'].filter((level) => isAtLeast(level, 'WARN'))).toEqual([
    'WARN',
    'error',
    'fatal',
  ])
})
