import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { chunkName, DamagedChunk, damageOf, openChunk, sealChunk } from './chunk-codec.ts'

test.each([1, 63, 4096, 100_000, 1024 * 1024])(
  '%i bytes are unchanged after sealing and opening',
  (sizeBytes) => {
    for (const plain of [randomBytes(sizeBytes), Buffer.alloc(sizeBytes, 'abc')])
      expect(openChunk(sealChunk(plain), chunkName(plain), sizeBytes).equals(plain)).toBe(true)
  },
)

test('incompressible data grows by less than a thousandth', () => {
  expect(sealChunk(randomBytes(256 * 1024)).length).toBeLessThan(256 * 1024 * 1.001)
})

test('a flipped bit is detected, unless zstd does not use the bit and the content is unchanged', () => {
  const plain = Buffer.concat([randomBytes(300), Buffer.alloc(300, 'text')])
  const sealed = sealChunk(plain)
  const name = chunkName(plain)
  let noticed = 0
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const flipped = Buffer.from(sealed)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    if (damageOf(flipped, name, plain.length)) noticed++
    else expect(openChunk(flipped, name, plain.length).equals(plain)).toBe(true)
  }
  expect(noticed).toBeGreaterThan(sealed.length * 8 - 16)
})

test('every truncation is detected', () => {
  const plain = randomBytes(600)
  const sealed = sealChunk(plain)
  for (let length = 0; length < sealed.length; length++)
    expect(damageOf(sealed.subarray(0, length), chunkName(plain), 600)).toBeTypeOf('string')
})

test('a missing chunk is reported as missing', () => {
  expect(damageOf(undefined, '0'.repeat(64), 1)).toBe('it is missing')
})

test('a chunk that would expand to more than its size is not expanded', () => {
  const bomb = sealChunk(Buffer.alloc(64 * 1024 * 1024))
  expect(() => openChunk(bomb, '0'.repeat(64), 4096)).toThrow(DamagedChunk)
})
