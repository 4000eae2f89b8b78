import { expect, test } from 'vitest'
import {
  hashSecret,
  isApiKey,
  isSandboxId,
  isTemplateId,
  newAccessToken,
  newApiKey,
  newSandboxId,
  newTemplateId,
  sandboxIdIn,
  secretsEqual,
} from './ids.ts'

test('new ids are recognised and unique', () => {
  const made = Array.from({ length: 1000 }, () => [
    newSandboxId(),
    newTemplateId(),
    newApiKey(),
    newAccessToken(),
  ])
  for (const [sandboxId = '', templateId = '', apiKey = '', token = ''] of made) {
    expect(sandboxId).toMatch(/^i[a-z0-9]{20}$/)
    expect(isSandboxId(sandboxId) && isTemplateId(templateId) && isApiKey(apiKey)).toBe(true)
    expect(token).toMatch(/^[0-9a-f]{32}$/)
  }
  expect(new Set(made.flat()).size).toBe(4000)
})

test('text that could be a path, a label or a query is not a valid id', () => {
  for (const value of ['', '..', '../x', 'a/b', 'a-b', 'A', 'a\n', 'a\u0000', 'é', 'x'.repeat(65)])
    expect([value, isSandboxId(value), isTemplateId(value), isApiKey(value)]).toEqual([
      value,
      false,
      false,
      false,
    ])
  expect(isApiKey(`${newApiKey()}\n`)).toBe(false)
})

test.each([
  ['iabc0-6532622b', 'iabc0'],
  ['iabc0-a-b_C', 'iabc0'],
  ['iabc0-', 'iabc0'],
  ['iabc0', 'iabc0'],
  // the result is no valid id, which the check of ids reports
  ['-iabc0', '-iabc0'],
  ['iabc0-../x', 'iabc0-../x'],
  ['iabc0-a\n', 'iabc0-a\n'],
  [`iabc0-${'x'.repeat(65)}`, `iabc0-${'x'.repeat(65)}`],
])('the name %j of a sandbox has the id %j', (name, id) => {
  expect(sandboxIdIn(name)).toBe(id)
})

test('secrets of equal and of different lengths are compared correctly', () => {
  const key = newApiKey()
  expect([
    secretsEqual(key, key),
    secretsEqual(key, `${key}0`),
    secretsEqual(key, ''),
    secretsEqual('', ''),
  ]).toEqual([true, false, false, true])
  expect(hashSecret('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})
