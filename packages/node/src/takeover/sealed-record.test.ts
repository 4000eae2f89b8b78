import { expect, test } from 'vitest'
import { RecordSeal } from './sealed-record.ts'

const seal = new RecordSeal('a secret of at least thirty-two characters')
const record = { state: 'paused', token: 'envd-token-in-the-record' }

test('a sealed record can be opened by another machine with the same secret', () => {
  const sealed = seal.close('box', record)
  expect(new RecordSeal('a secret of at least thirty-two characters').open('box', sealed)).toEqual(record)
})

test('records in the bucket reveal nothing, and equal records differ', () => {
  const sealed = seal.close('box', record)
  expect(sealed.toString()).not.toContain('envd-token')
  expect(Buffer.from(JSON.parse(sealed.toString()).content, 'base64').toString('latin1')).not.toContain(
    'envd-token',
  )
  expect(seal.close('box', record).equals(sealed)).toBe(false)
})

test('another secret is reported as such', () => {
  const other = new RecordSeal('another secret of thirty-two characters')
  expect(() => other.open('box', seal.close('box', record))).toThrow(
    /'box' was sealed with another secret: set checkpointSecret/,
  )
})

test('a record of a later format is rejected', () => {
  const later = Buffer.from(
    JSON.stringify({ ...JSON.parse(seal.close('box', record).toString()), format: 2 }),
  )
  expect(() => seal.open('box', later)).toThrow(/has the format 2, this version reads 1/)
})

test('a truncated record is damaged', () => {
  expect(() => seal.open('box', seal.close('box', record).subarray(0, -20))).toThrow(/is not JSON/)
  const sealed = JSON.parse(seal.close('box', record).toString())
  for (const content of ['', sealed.content.slice(0, 8), sealed.content.slice(0, -8)])
    expect(() => seal.open('box', Buffer.from(JSON.stringify({ ...sealed, content })))).toThrow(
      /'box' is not what was written/,
    )
})

test('a record that was changed or swapped is damaged', () => {
  const sealed = JSON.parse(seal.close('box', record).toString())
  const content = Buffer.from(sealed.content, 'base64')
  content[3]! ^= 1
  const changed = Buffer.from(JSON.stringify({ ...sealed, content: content.toString('base64') }))
  expect(() => seal.open('box', changed)).toThrow(/'box' is not what was written/)
  expect(() => seal.open('other', seal.close('box', record))).toThrow(/'other' is not what was written/)
})
