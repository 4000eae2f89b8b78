import { hash } from 'node:crypto'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'

/*
 * All synchronous: 256 KiB take 0.2 ms to hash, 0.2 to expand and 0.4 to compress, and the asynchronous variants,
 * which copy, are half as fast and held the event loop for up to 20 ms. Bulk work is done in the packing process
 * and the expanding thread.
 */

const LEVEL = 3

/** A stored chunk is not what its name says. */
export class DamagedChunk extends Error {
  constructor(detail: string) {
    super(detail)
    this.name = 'DamagedChunk'
  }
}

/** sha256 of the plain bytes, in hex: the name of the chunk. */
export const chunkName = (plain: Uint8Array): string => hash('sha256', plain)

/** What is stored: a zstd frame. Bytes that do not shrink are a raw block in it, 3 bytes each 128 KiB longer. */
export const sealChunk = (plain: Uint8Array): Buffer =>
  zstdCompressSync(plain, {
    chunkSize: plain.length + 4096,
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
  })

/** The plain bytes. @throws DamagedChunk when they are not the `sizeBytes` bytes whose sha256 is `sha256` */
export function openChunk(sealed: Uint8Array, sha256: string, sizeBytes: number): Buffer {
  let plain: Buffer
  try {
    plain = zstdDecompressSync(sealed, { chunkSize: Math.max(sizeBytes, 64), maxOutputLength: sizeBytes })
  } catch (error) {
    throw new DamagedChunk(`it cannot be decompressed (${(error as Error).message})`)
  }
  if (plain.length !== sizeBytes) throw new DamagedChunk(`it holds ${plain.length} bytes, not ${sizeBytes}`)
  const actual = chunkName(plain)
  if (actual !== sha256) throw new DamagedChunk(`its content has the sha256 ${actual}`)
  return plain
}

/** What is wrong with a stored chunk, if anything. */
export function damageOf(
  sealed: Uint8Array | undefined,
  sha256: string,
  sizeBytes: number,
): string | undefined {
  if (!sealed) return 'it is missing'
  try {
    openChunk(sealed, sha256, sizeBytes)
    return undefined
  } catch (error) {
    if (error instanceof DamagedChunk) return error.message
    throw error
  }
}
