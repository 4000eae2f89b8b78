import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { BrokenSeal, SEAL_BYTES, Seal } from './seal.ts'

const seal = new Seal('a secret of at least thirty-two characters')
const plain = Buffer.from('MARKER in plain text')

test('a sealed object is opened with the same secret under the same name', () => {
  const sealed = seal.close('chunks/aa/one', plain)
  expect(sealed).toHaveLength(plain.length + SEAL_BYTES)
  const again = new Seal('a secret of at least thirty-two characters')
  expect(again.keyId).toBe(seal.keyId)
  expect(again.open('chunks/aa/one', sealed).equals(plain)).toBe(true)
  expect(again.open('empty', seal.close('empty', Buffer.alloc(0)))).toHaveLength(0)
})

test('sealed objects reveal nothing, and equal objects differ', () => {
  const one = seal.close('a', plain)
  expect(one.toString('latin1')).not.toContain('MARKER')
  expect(one.equals(seal.close('a', plain))).toBe(false)
})

test('a name reveals nothing about its content without the secret', () => {
  const sha256 = 'a'.repeat(64)
  expect(seal.blind(sha256)).toMatch(/^[0-9a-f]{64}$/)
  expect(seal.blind(sha256)).toBe(seal.blind(sha256))
  expect(seal.blind(sha256)).not.toBe(sha256)
  expect(new Seal('another secret of thirty-two characters').blind(sha256)).not.toBe(seal.blind(sha256))
})

test.each([
  ['another place', 'b', (sealed: Buffer) => sealed],
  ['a bit of its salt', 'a', (sealed: Buffer) => flipped(sealed, 4)],
  ['a bit of its nonce', 'a', (sealed: Buffer) => flipped(sealed, 20)],
  ['a bit of its content', 'a', (sealed: Buffer) => flipped(sealed, 32)],
  ['a bit of its tag', 'a', (sealed: Buffer) => flipped(sealed, sealed.length - 1)],
  ['a byte less', 'a', (sealed: Buffer) => sealed.subarray(0, -1)],
  ['a byte more', 'a', (sealed: Buffer) => Buffer.concat([sealed, Buffer.alloc(1)])],
  ['nothing', 'a', () => Buffer.alloc(0)],
  ['plain bytes', 'a', () => randomBytes(200)],
])('with %s it is broken', (_, name, change) => {
  expect(() => seal.open(name, change(seal.close('a', plain)))).toThrow(BrokenSeal)
})

test('another secret opens nothing', () => {
  const other = new Seal('another secret of thirty-two characters')
  expect(() => other.open('a', seal.close('a', plain))).toThrow(/is not what was written there/)
})

function flipped(sealed: Buffer, at: number): Buffer {
  const copy = Buffer.from(sealed)
  copy[at]! ^= 1
  return copy
}
