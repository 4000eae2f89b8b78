import { hash } from 'node:crypto'
import { SandlotError } from '@sandlot/protocol'
import { MAX_CHUNK_BYTES } from './page-chunker.ts'

const FORMAT = 1
const MAX_FILES = 1000
/** Limit for all files together, holes included: memory and disk of a sandbox have at most 1 TiB each. */
const MAX_LOGICAL_BYTES = 4 * 2 ** 40
/** Limit of a stored chunk, as incompressible chunks grow a little. */
export const MAX_STORED_BYTES = MAX_CHUNK_BYTES + 4096
/** A relative path without `.` and `..`. */
const FILE_NAME = /^(?!\.{1,2}(\/|$))[^/\0]{1,255}(\/(?!\.{1,2}(\/|$))[^/\0]{1,255}){0,7}$/
const SHA256 = /^[0-9a-f]{64}$/

/** A piece of a file: a chunk, or zeros when it has no `chunk`. */
export interface Extent {
  sizeBytes: number
  /** Name of the chunk: sha256 of its plain bytes. */
  chunk?: string
  /** Bytes that the chunk takes in a store. */
  storedBytes?: number
}

export interface ChunkExtent extends Extent {
  chunk: string
  storedBytes: number
}

export interface PackedFile {
  name: string
  sizeBytes: number
  extents: Extent[]
}

/** A stored checkpoint: its files in chunks, which it may share with other checkpoints. */
export interface PackedCheckpoint {
  id: string
  /** Unix milliseconds. */
  packedAtMs: number
  files: PackedFile[]
}

/** @returns each chunk once, by name */
export function chunksOf(checkpoint: PackedCheckpoint): Map<string, ChunkExtent> {
  const chunks = new Map<string, ChunkExtent>()
  for (const file of checkpoint.files)
    for (const extent of file.extents) if (isChunk(extent)) chunks.set(extent.chunk, extent)
  return chunks
}

export const isChunk = (extent: Extent): extent is ChunkExtent => extent.chunk !== undefined

export const logicalBytes = (checkpoint: PackedCheckpoint): number =>
  checkpoint.files.reduce((sum, file) => sum + file.sizeBytes, 0)

/** Encodes a manifest. Its sha256 covers every byte of the files, because chunks are named by their hash. */
export function encodeManifest(checkpoint: PackedCheckpoint): Buffer {
  const sha256 = hash('sha256', JSON.stringify(checkpoint))
  return Buffer.from(JSON.stringify({ format: FORMAT, sha256, checkpoint }))
}

/** Whether stored data has changed or is missing: a retry cannot help. */
export const isDamage = (error: unknown): error is SandlotError =>
  error instanceof SandlotError && error.errorName === 'checkpoint_damaged'

/** @throws SandlotError checkpoint_damaged, with what is wrong and where it was read */
export function decodeManifest(id: string, content: Uint8Array, storeName: string): PackedCheckpoint {
  const fault = (detail: string, cause?: unknown) =>
    new SandlotError(
      'checkpoint_damaged',
      `checkpoint '${id}' is damaged: its manifest in ${storeName} ${detail}`,
      { cause },
    )
  let manifest: { format?: unknown; sha256?: unknown; checkpoint?: PackedCheckpoint }
  try {
    manifest = JSON.parse(Buffer.from(content).toString('utf8'))
  } catch (error) {
    throw fault(`is not JSON (${(error as Error).message})`, error)
  }
  const { format, sha256, checkpoint } = manifest ?? {}
  if (format !== FORMAT) throw fault(`has the format ${JSON.stringify(format)}, not ${FORMAT}`)
  if (!checkpoint || hash('sha256', JSON.stringify(checkpoint)) !== sha256)
    throw fault('does not match its sha256')
  if (checkpoint.id !== id) throw fault(`is that of '${checkpoint.id}'`)
  const invalid = whatIsInvalid(checkpoint)
  if (invalid) throw fault(invalid)
  return checkpoint
}

const isStoredSize = (bytes: unknown): boolean =>
  Number.isSafeInteger(bytes) && Number(bytes) > 0 && Number(bytes) <= MAX_STORED_BYTES

/**
 * Checks the shape, which the hash does not prove. Defence in depth, as content of a bucket was already opened with our
 * key.
 */
function whatIsInvalid({ files }: PackedCheckpoint): string | undefined {
  if (!Array.isArray(files) || files.length > MAX_FILES) return `does not list at most ${MAX_FILES} files`
  if (new Set(files.map(({ name }) => name)).size !== files.length) return 'names a file twice'
  let allBytes = 0
  for (const { name, sizeBytes, extents } of files) {
    if (typeof name !== 'string' || !FILE_NAME.test(name)) return `has the file name ${JSON.stringify(name)}`
    if (!Array.isArray(extents)) return `does not list the pieces of '${name}'`
    let total = 0
    for (const { chunk, sizeBytes: length, storedBytes } of extents) {
      const isValid =
        Number.isSafeInteger(length) &&
        length > 0 &&
        (chunk === undefined ||
          (SHA256.test(chunk) && length <= MAX_CHUNK_BYTES && isStoredSize(storedBytes)))
      if (!isValid) return `has an invalid piece in '${name}' at byte ${total}`
      total += length
    }
    if (total !== sizeBytes) return `has ${total} bytes for '${name}', which has ${sizeBytes}`
    allBytes += total
    if (allBytes > MAX_LOGICAL_BYTES) return `has files of more than ${MAX_LOGICAL_BYTES} bytes`
  }
  return undefined
}
