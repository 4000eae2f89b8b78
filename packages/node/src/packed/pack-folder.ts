import { type FileHandle, open, readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { isMissing, namedDiskError } from '../host/disk-errors.ts'
import type { FolderStore } from '../objects/folder-store.ts'
import { manifestKey } from '../objects/object-store.ts'
import { ChunkWriter, type WrittenChunks } from './chunk-writer.ts'
import { encodeManifest, logicalBytes, type PackedCheckpoint, type PackedFile } from './manifest.ts'
import { firstCut, MAX_CHUNK_BYTES } from './page-chunker.ts'

const WINDOW_BYTES = 4 * MAX_CHUNK_BYTES
const MAX_ATTEMPTS = 3

export interface PackRequest {
  id: string
  /** Folder of regular files, which must not change during the pack. */
  rawDir: string
}

export interface PackResult extends WrittenChunks {
  logicalBytes: number
}

export interface PackOptions {
  /** Called before each step; throws when the pack has been cancelled. */
  checkWanted: () => void
}

/**
 * Packs a folder into the store. The manifest is written last, after all chunks are flushed to the disk; chunks of a
 * crash before that are removed by the next garbage collection.
 *
 * @throws SandlotError disk_full; invalid_request when the folder is missing or contains other entries than files and
 * folders
 */
export async function packFolder(
  store: FolderStore,
  { id, rawDir }: PackRequest,
  { checkWanted }: PackOptions,
): Promise<PackResult> {
  const window = Buffer.allocUnsafeSlow(WINDOW_BYTES)
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
    const writer = new ChunkWriter(store)
    const files: PackedFile[] = []
    for (const name of await fileNames(rawDir))
      files.push(await packFile(writer, join(rawDir, name), name, window, checkWanted))
    await store.flush()
    if (!(await writer.areAllThere())) continue
    checkWanted()
    const checkpoint: PackedCheckpoint = { id, packedAtMs: Date.now(), files }
    await store.put(manifestKey(id), encodeManifest(checkpoint))
    return { logicalBytes: logicalBytes(checkpoint), ...writer.written }
  }
  throw new SandlotError(
    'internal_server_error',
    `chunks of checkpoint '${id}' vanished from ${store.name} in each of ${MAX_ATTEMPTS} attempts: does the clock jump, or does another program delete files there?`,
  )
}

async function packFile(
  writer: ChunkWriter,
  path: string,
  name: string,
  window: Buffer,
  checkWanted: () => void,
): Promise<PackedFile> {
  try {
    const file = await open(path, 'r')
    try {
      const packed: PackedFile = { name, sizeBytes: 0, extents: [] }
      for await (const { isHole, content } of pieces(file, window)) {
        checkWanted()
        const last = packed.extents.at(-1)
        packed.sizeBytes += content.length
        if (!isHole) packed.extents.push(await writer.put(content))
        else if (last && last.chunk === undefined) last.sizeBytes += content.length
        else packed.extents.push({ sizeBytes: content.length })
      }
      return packed
    } finally {
      await file.close()
    }
  } catch (error) {
    throw namedDiskError(error, `packing ${path}`)
  }
}

async function fileNames(rawDir: string): Promise<string[]> {
  try {
    const entries = await readdir(rawDir, { withFileTypes: true, recursive: true })
    const other = entries.find((entry) => !entry.isFile() && !entry.isDirectory())
    if (other)
      throw new SandlotError(
        'invalid_request',
        `${rawDir} must hold regular files and folders only; '${other.name}' is neither`,
      )
    const files = entries.filter((entry) => entry.isFile())
    return files.map(({ parentPath, name }) => relative(rawDir, join(parentPath, name))).sort()
  } catch (error) {
    if (isMissing(error))
      throw new SandlotError('invalid_request', `the folder to pack, ${rawDir}, does not exist`)
    throw namedDiskError(error, `reading ${rawDir}`)
  }
}

/** Cuts a file into chunks and holes. `content` is valid until the next piece is requested. */
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
