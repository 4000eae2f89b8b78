import { expect, test } from 'vitest'
import { parseHeaderValue } from './placeholders.ts'

test.each([
  ['', []],
  ['Bearer x', ['Bearer x']],
  ['${e2b.secrets.KEY}', [{ kind: 'secret', name: 'key' }]],
  [
    'a ${e2b.secrets.k-1}:${e2b.identity.tokens.Cloud} b',
    ['a ', { kind: 'secret', name: 'k-1' }, ':', { kind: 'identityToken', name: 'Cloud' }, ' b'],
  ],
  ['${other} $e2b }', ['${other} $e2b }']],
])('%s is split at its placeholders', (value, parts) => {
  expect(parseHeaderValue(value)).toEqual(parts)
})

test.each([
  '${e2b.}',
  '${e2b.secrets.}',
  '${e2b.secrets.a',
  '${e2b.secrets.${e2b.secrets.a}}',
  '${e2b.identity.tokens.}',
  '${e2b.identity.a}',
  '${e2b.other.a}',
])('%s is malformed', (value) => {
  expect(parseHeaderValue(value)).toBeUndefined()
})
