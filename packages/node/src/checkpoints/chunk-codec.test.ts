import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { chunkName, DamagedChunk, openChunk, sealChunk } from './chunk-codec.ts'

test.each([1, 63, 4096, 100_000, 1024 * 1024])('%i bytes come back', async (sizeBytes) => {
  for (const plain of [randomBytes(sizeBytes), Buffer.alloc(sizeBytes, 'abc')]) {
    const sealed = await sealChunk(plain)
    expect((await openChunk(sealed, await chunkName(plain), sizeBytes)).equals(plain)).toBe(true)
  }
})

test('what does not shrink grows by less than a thousandth', async () => {
  const sealed = await sealChunk(randomBytes(256 * 1024))
  expect(sealed.length).toBeLessThan(256 * 1024 * 1.001)
})

test('every flipped bit and every truncation is noticed', async () => {
  const plain = Buffer.concat([randomBytes(300), Buffer.alloc(300, 'text')])
  const sealed = await sealChunk(plain)
  const name = await chunkName(plain)
  for (let i = 0; i < sealed.length * 8; i += 5) {
    const flipped = Buffer.from(sealed)
    flipped[i >> 3]! ^= 1 << (i & 7)
    // a bit that zstd itself does not use leaves the content as it was
    const opened = await openChunk(flipped, name, plain.length).catch((error) => error)
    if (opened instanceof Error) expect(opened).toBeInstanceOf(DamagedChunk)
    else expect(opened.equals(plain)).toBe(true)
  }
  for (const length of [0, 1, sealed.length >> 1, sealed.length - 1])
    await expect(openChunk(sealed.subarray(0, length), name, plain.length)).rejects.toThrow(DamagedChunk)
})

test('a chunk that would expand beyond its size is not expanded', async () => {
  const bomb = await sealChunk(Buffer.alloc(64 * 1024 * 1024))
  await expect(openChunk(bomb, '0'.repeat(64), 4096)).rejects.toThrow(DamagedChunk)
})
