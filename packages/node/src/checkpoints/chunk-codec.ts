import { webcrypto } from 'node:crypto'
import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'

const LEVEL = 3
const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)

/** A stored chunk is not what its name says. */
export class DamagedChunk extends Error {
  constructor(detail: string) {
    super(detail)
    this.name = 'DamagedChunk'
  }
}

/** sha256 of the plain bytes, in hex: the name of the chunk. Computed off the event loop. */
export async function chunkName(plain: Uint8Array): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', plain as Uint8Array<ArrayBuffer>)).toString(
    'hex',
  )
}

/** What is stored: a zstd frame. Bytes that do not shrink are a raw block in it, 3 bytes each 128 KiB longer. */
export function sealChunk(plain: Uint8Array): Promise<Buffer> {
  return compress(plain, {
    // one round through the thread pool instead of one each 16 KiB
    chunkSize: plain.length + 4096,
    params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
  })
}

/** The plain bytes. @throws DamagedChunk when they are not the `sizeBytes` bytes whose sha256 is `sha256` */
export async function openChunk(sealed: Uint8Array, sha256: string, sizeBytes: number): Promise<Buffer> {
  let plain: Buffer
  try {
    plain = await decompress(sealed, { chunkSize: Math.max(sizeBytes, 64), maxOutputLength: sizeBytes })
  } catch (error) {
    throw new DamagedChunk(`it cannot be decompressed (${(error as Error).message})`)
  }
  if (plain.length !== sizeBytes) throw new DamagedChunk(`it holds ${plain.length} bytes, not ${sizeBytes}`)
  const actual = await chunkName(plain)
  if (actual !== sha256) throw new DamagedChunk(`its content has the sha256 ${actual}`)
  return plain
}
