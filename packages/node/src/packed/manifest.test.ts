import { hash } from 'node:crypto'
import { expect, test } from 'vitest'
import { decodeManifest, encodeManifest, type PackedCheckpoint } from './manifest.ts'

const checkpoint: PackedCheckpoint = {
  id: 'one',
  packedAtMs: 1,
  files: [
    {
      name: 'pages.img',
      sizeBytes: 5000,
      extents: [{ sizeBytes: 4096 }, { sizeBytes: 904, chunk: 'a'.repeat(64), storedBytes: 100 }],
    },
  ],
}

const decode = (content: Uint8Array) => decodeManifest('one', content, 'a test')

test('an encoded manifest is decoded unchanged', () => {
  expect(decode(encodeManifest(checkpoint))).toEqual(checkpoint)
})

test('every flipped bit and every truncation is detected', () => {
  const encoded = encodeManifest(checkpoint)
  for (let bit = 0; bit < encoded.length * 8; bit++) {
    const flipped = Buffer.from(encoded)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    expect(() => decode(flipped)).toThrow(/checkpoint 'one' is damaged: its manifest in a test/)
  }
  for (let length = 0; length < encoded.length; length += 7)
    expect(() => decode(encoded.subarray(0, length))).toThrow(/is not JSON/)
})

test('the manifest of another checkpoint is rejected', () => {
  expect(() => decodeManifest('two', encodeManifest(checkpoint), 'a test')).toThrow(/is that of 'one'/)
})

test.each([
  ['../escape', {}],
  ['..', {}],
  ['a/../b', {}],
  ['', {}],
  ['x', { sizeBytes: 1 }],
  ['x', { extents: [{ sizeBytes: -1 }, { sizeBytes: 5001 }] }],
  ['x', { extents: [{ sizeBytes: 5000, chunk: '../../etc/passwd', storedBytes: 1 }] }],
  ['x', { extents: [{ sizeBytes: 5000, chunk: 'a'.repeat(64), storedBytes: 2 ** 40 }] }],
  ['x', { sizeBytes: 2 ** 50, extents: [{ sizeBytes: 2 ** 50 }] }],
])('a manifest with a correct hash and the file %j %j is refused', (name, change) => {
  const forged = { ...checkpoint, files: [{ ...checkpoint.files[0]!, name, ...change }] }
  const content = { format: 1, sha256: hash('sha256', JSON.stringify(forged)), checkpoint: forged }
  expect(() => decode(Buffer.from(JSON.stringify(content)))).toThrow(/is damaged/)
})
