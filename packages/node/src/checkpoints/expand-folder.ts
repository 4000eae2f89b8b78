import { randomUUID } from 'node:crypto'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { namedDiskError } from './disk-errors.ts'
import { type ChunkExtent, isChunk, type PackedCheckpoint, type PackedFile } from './manifest.ts'
import { inParallel } from './parallel.ts'

export interface ExpandOptions {
  /** Plain bytes of a chunk, checked against its name. */
  readChunk: (extent: ChunkExtent, fileName: string) => Promise<Buffer>
  /** Chunks under way at a time, each at most 1 MiB plain and 1 MiB stored. */
  concurrency: number
}

/**
 * Writes the files of a packed checkpoint into a new folder, which appears by rename when all of them are there.
 * Holes stay holes.
 * @throws SandlotError conflict when the folder exists, disk_full, and what `readChunk` throws
 */
export async function expandFolder(
  checkpoint: PackedCheckpoint,
  targetDir: string,
  options: ExpandOptions,
): Promise<void> {
  const writing = `${targetDir}.writing-${randomUUID()}`
  try {
    await mkdir(writing, { mode: 0o700 })
    for (const file of checkpoint.files) await expandFile(file, join(writing, file.name), options)
    await rename(writing, targetDir)
  } catch (error) {
    await rm(writing, { recursive: true, force: true }).catch(() => {})
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'ENOTDIR')
      throw new SandlotError(
        'conflict',
        `checkpoint '${checkpoint.id}' was not expanded: ${targetDir} already exists`,
      )
    throw namedDiskError(error, `expanding checkpoint '${checkpoint.id}' to ${targetDir}`)
  }
}

async function expandFile(
  { name, sizeBytes, extents }: PackedFile,
  path: string,
  { readChunk, concurrency }: ExpandOptions,
): Promise<void> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.truncate(sizeBytes)
    await inParallel(placed(extents), concurrency, async ([extent, position]) => {
      const plain = await readChunk(extent, name)
      const { bytesWritten } = await file.write(plain, 0, plain.length, position)
      if (bytesWritten !== plain.length)
        throw Object.assign(new Error(`wrote ${bytesWritten} of ${plain.length} bytes`), { code: 'ENOSPC' })
    })
  } finally {
    await file.close()
  }
}

/** Chunks with their place in the file. */
function* placed(extents: PackedFile['extents']): Iterable<[ChunkExtent, number]> {
  let position = 0
  for (const extent of extents) {
    if (isChunk(extent)) yield [extent, position]
    position += extent.sizeBytes
  }
}
