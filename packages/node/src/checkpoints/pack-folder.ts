import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { chunkKey, manifestKey } from './checkpoint-store.ts'
import { chunkName, damageOf, sealChunk } from './chunk-codec.ts'
import { isMissing, namedDiskError } from './disk-errors.ts'
import type { LocalStore } from './local-store.ts'
import { type ChunkExtent, type Extent, encodeManifest, type PackedFile } from './manifest.ts'
import { firstCut, MAX_CHUNK_BYTES } from './page-chunker.ts'

const WINDOW_BYTES = 4 * MAX_CHUNK_BYTES

export interface PackRequest {
  id: string
  /** Folder of regular files; it must not change meanwhile. */
  rawDir: string
}

export interface PackResult {
  logicalBytes: number
  /** What the store grew by; what others had stored already does not count. */
  addedBytes: number
  chunks: number
  addedChunks: number
}

export interface PackOptions {
  /** Asked before each step: throws when nobody wants the result any more. */
  checkWanted: () => void
}

/**
 * Packs a folder into the store. The checkpoint counts once its manifest is there, which is written last, after all
 * chunks are safe on the disk; until then a crash leaves chunks that the next garbage collection takes.
 *
 * @throws SandlotError disk_full; invalid_request when the folder is missing or holds anything but files
 */
export async function packFolder(
  store: LocalStore,
  { id, rawDir }: PackRequest,
  { checkWanted }: PackOptions,
): Promise<PackResult> {
  const result: PackResult = { logicalBytes: 0, addedBytes: 0, chunks: 0, addedChunks: 0 }
  const known = new Map<string, ChunkExtent>()
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES)

  async function keep(plain: Buffer): Promise<ChunkExtent> {
    const chunk = chunkName(plain)
    const seen = known.get(chunk)
    if (seen) return seen
    result.chunks++
    const reused = await storedBytesOfIntact(store, chunk, plain.length)
    const extent: ChunkExtent = { sizeBytes: plain.length, chunk, storedBytes: reused ?? 0 }
    if (reused === undefined) {
      const sealed = sealChunk(plain)
      await store.putUnflushed(chunkKey(chunk), sealed)
      extent.storedBytes = sealed.length
      result.addedBytes += sealed.length
      result.addedChunks++
    }
    known.set(chunk, extent)
    return extent
  }

  const files: PackedFile[] = []
  for (const name of await fileNames(rawDir)) {
    const file = await open(join(rawDir, name), 'r')
    try {
      const extents: Extent[] = []
      for await (const { isHole, content } of pieces(file, window)) {
        checkWanted()
        const last = extents.at(-1)
        if (!isHole) extents.push(await keep(content))
        else if (last && last.chunk === undefined) last.sizeBytes += content.length
        else extents.push({ sizeBytes: content.length })
      }
      const sizeBytes = extents.reduce((sum, extent) => sum + extent.sizeBytes, 0)
      result.logicalBytes += sizeBytes
      files.push({ name, sizeBytes, extents })
    } catch (error) {
      throw namedDiskError(error, `packing '${name}' of ${rawDir}`)
    } finally {
      await file.close()
    }
  }
  await store.flush()
  checkWanted()
  await store.put(manifestKey(id), encodeManifest({ id, packedAtMs: Date.now(), files }))
  return result
}

/**
 * A chunk that is there is touched, so that no sweep takes it, and read: a new checkpoint must not be built on a
 * damaged one, and the plain bytes to mend it with are at hand.
 */
async function storedBytesOfIntact(
  store: LocalStore,
  chunk: string,
  sizeBytes: number,
): Promise<number | undefined> {
  if (!(await store.touch(chunkKey(chunk)))) return undefined
  const sealed = await store.get(chunkKey(chunk))
  return damageOf(sealed, chunk, sizeBytes) === undefined ? sealed?.length : undefined
}

async function fileNames(rawDir: string): Promise<string[]> {
  try {
    const entries = await readdir(rawDir, { withFileTypes: true })
    const other = entries.find((entry) => !entry.isFile())
    if (other)
      throw new SandlotError(
        'invalid_request',
        `${rawDir} must hold regular files only; '${other.name}' is none`,
      )
    return entries.map(({ name }) => name).sort()
  } catch (error) {
    if (isMissing(error))
      throw new SandlotError('invalid_request', `the folder to pack, ${rawDir}, does not exist`)
    throw namedDiskError(error, `reading ${rawDir}`)
  }
}

/** The file in chunks and holes. `content` is only good until the next one is asked for. */
async function* pieces(
  file: FileHandle,
  window: Buffer,
): AsyncIterable<{ isHole: boolean; content: Buffer }> {
  let start = 0
  let end = 0
  let isAtEnd = false
  while (true) {
    if (end - start < MAX_CHUNK_BYTES && !isAtEnd) {
      window.copyWithin(0, start, end)
      end -= start
      start = 0
      while (end < window.length && !isAtEnd) {
        const { bytesRead } = await file.read(window, end, window.length - end)
        end += bytesRead
        isAtEnd = bytesRead === 0
      }
    }
    if (start === end) return
    const { sizeBytes, isHole } = firstCut(window.subarray(start, end))
    yield { isHole, content: window.subarray(start, start + sizeBytes) }
    start += sizeBytes
  }
}
