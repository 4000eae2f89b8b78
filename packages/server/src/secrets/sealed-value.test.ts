import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { openValue, sealValue } from './sealed-value.ts'

const key = randomBytes(32)
const value = Buffer.from('a value')

test('a sealed value is opened with its key and context only', () => {
  const sealed = sealValue(value, key, ['team', 'secret', '1'])
  expect(openValue(sealed, key, ['team', 'secret', '1'])).toEqual(value)
  expect(() => openValue(sealed, key, ['team', 'secret', '2'])).toThrow()
  expect(() => openValue(sealed, key, ['teams', 'ecret', '1'])).toThrow()
  expect(() => openValue(sealed, randomBytes(32), ['team', 'secret', '1'])).toThrow()
})

test('a value that was changed or cut off is not opened', () => {
  const sealed = Buffer.from(sealValue(value, key, []), 'base64')
  for (const at of [0, 12, 28]) {
    const changed = Buffer.from(sealed)
    changed[at]! ^= 1
    expect(() => openValue(changed.toString('base64'), key, [])).toThrow()
  }
  for (const length of [0, 5, 20, 28, sealed.length - 1])
    expect(() => openValue(sealed.subarray(0, length).toString('base64'), key, [])).toThrow()
})

test('a value is sealed differently each time', () => {
  expect(sealValue(value, key, [])).not.toBe(sealValue(value, key, []))
})
