import { crc32 } from 'node:zlib'

export const PAGE_BYTES = 4096
export const MIN_CHUNK_BYTES = 16 * PAGE_BYTES
export const AVERAGE_CHUNK_BYTES = 64 * PAGE_BYTES
export const MAX_CHUNK_BYTES = 256 * PAGE_BYTES
/** Shorter runs of zeros stay in their chunk, where zstd compresses them to almost nothing. */
export const MIN_HOLE_BYTES = 4 * PAGE_BYTES

const ZERO_PAGE = Buffer.alloc(PAGE_BYTES)
const BOUNDARY_MASK = AVERAGE_CHUNK_BYTES / PAGE_BYTES - 1

export interface Cut {
  sizeBytes: number
  /** Whether all bytes are zero, so that nothing needs to be stored. */
  isHole: boolean
}

/**
 * Finds the length of the first chunk, or of the run of zeros, at the start of `window`. Sizes: docs/adr/0006.
 *
 * Content of memory images moves by whole pages, so the checksum of a page alone decides whether it is a boundary: after
 * pages were inserted or removed, the boundaries behind them are unchanged, and so are the chunks.
 *
 * @param window the next bytes of the file: at least MAX_CHUNK_BYTES except at the file's end; not empty
 */
export function firstCut(window: Buffer): Cut {
  const holeBytes = zeroRun(window, 0, window.length)
  if (holeBytes >= MIN_HOLE_BYTES || holeBytes === window.length)
    return { sizeBytes: holeBytes, isHole: true }

  const end = Math.min(window.length, MAX_CHUNK_BYTES)
  let offset = 0
  while (offset < end) {
    const page = window.subarray(offset, Math.min(offset + PAGE_BYTES, end))
    if (isZero(page) && zeroRun(window, offset, offset + MIN_HOLE_BYTES) >= MIN_HOLE_BYTES) break
    offset += page.length
    if (offset >= MIN_CHUNK_BYTES && (crc32(page) & BOUNDARY_MASK) === 0) break
  }
  return { sizeBytes: offset, isHole: false }
}

/** Length of the run of zero pages that begins at `start`, searched up to `limit`. */
function zeroRun(window: Buffer, start: number, limit: number): number {
  const end = Math.min(window.length, limit)
  let offset = start
  while (offset < end) {
    const page = window.subarray(offset, Math.min(offset + PAGE_BYTES, end))
    if (!isZero(page)) break
    offset += page.length
  }
  return offset - start
}

const isZero = (page: Buffer): boolean =>
  page.length === PAGE_BYTES ? page.equals(ZERO_PAGE) : page.equals(ZERO_PAGE.subarray(0, page.length))
