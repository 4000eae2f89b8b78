import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import { writeAtomically } from '../host/atomic-writes.ts'
import { isMissing, namedDiskError } from '../host/disk-errors.ts'
import { chunkKey } from '../objects/object-store.ts'
import { DamagedChunk, openChunk } from './chunk-codec.ts'
import { isChunk, type PackedCheckpoint, type PackedFile } from './manifest.ts'

/**
 * Writes the files of a packed checkpoint into a new folder, which appears by rename when it is complete; a crash leaves
 * `.writing-*` beside it. Every chunk is checked against its name; holes stay holes. Blocks for up to a chunk at a time,
 * so it must run in a thread.
 * @throws SandlotError checkpoint_damaged (which chunk of which file, and how), conflict (the folder exists), disk_full
 */
export async function expandFolder(
  storeDir: string,
  checkpoint: PackedCheckpoint,
  targetDir: string,
): Promise<void> {
  const { id, files } = checkpoint
  try {
    await writeAtomically(targetDir, async (writing) => {
      await mkdir(writing, { mode: 0o700 })
      for (const file of files) {
        const path = join(writing, file.name)
        await mkdir(dirname(path), { recursive: true, mode: 0o700 })
        await expandFile(storeDir, id, file, path)
      }
    })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTEMPTY' || code === 'ENOTDIR')
      throw new SandlotError('conflict', `checkpoint '${id}' was not expanded: ${targetDir} already exists`)
    throw namedDiskError(error, `expanding checkpoint '${id}' to ${targetDir}`)
  }
}

async function expandFile(storeDir: string, id: string, file: PackedFile, path: string): Promise<void> {
  const fd = openSync(path, 'wx', 0o600)
  try {
    ftruncateSync(fd, file.sizeBytes)
    let position = 0
    for (const extent of file.extents) {
      if (isChunk(extent)) {
        const plain = openStored(storeDir, extent.chunk, extent.sizeBytes, (detail, cause) => {
          const where = `chunk ${extent.chunk} at byte ${position} of '${file.name}'`
          const message = `checkpoint '${id}' is damaged: ${where}: ${detail}`
          return new SandlotError('checkpoint_damaged', message, { cause })
        })
        writeAll(fd, plain, position)
        await nextTurn()
      }
      position += extent.sizeBytes
    }
  } finally {
    closeSync(fd)
  }
}

function openStored(
  storeDir: string,
  chunk: string,
  sizeBytes: number,
  damaged: (detail: string, cause: unknown) => SandlotError,
): Buffer {
  try {
    return openChunk(readFileSync(join(storeDir, chunkKey(chunk))), chunk, sizeBytes)
  } catch (error) {
    if (isMissing(error)) throw damaged('it is missing', error)
    if (error instanceof DamagedChunk || (error as NodeJS.ErrnoException).code === 'EIO')
      throw damaged((error as Error).message, error)
    throw error
  }
}

/** Writes all bytes. Repeats after partial writes, which occur on a disk that becomes full before the error. */
function writeAll(fd: number, content: Buffer, position: number): void {
  for (let written = 0; written < content.length; )
    written += writeSync(fd, content, written, content.length - written, position + written)
}
