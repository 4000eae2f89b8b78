import { SandlotError } from '@sandlot/protocol'
import type { FolderStore } from '../objects/folder-store.ts'
import { chunkKey } from '../objects/object-store.ts'
import { DamagedChunk, openChunk } from './chunk-codec.ts'
import { isChunk, type PackedCheckpoint } from './manifest.ts'

/**
 * Reads one small file of a packed checkpoint, without unpacking the rest.
 * @returns undefined when there is no such file, or a chunk of it is not on this machine
 * @throws SandlotError checkpoint_damaged
 */
export async function readPackedFile(
  store: FolderStore,
  checkpoint: PackedCheckpoint,
  name: string,
): Promise<Buffer | undefined> {
  const file = checkpoint.files.find((candidate) => candidate.name === name)
  if (!file) return undefined
  const parts: Buffer[] = []
  for (const extent of file.extents) {
    if (!isChunk(extent)) {
      parts.push(Buffer.alloc(extent.sizeBytes))
      continue
    }
    const sealed = await store.get(chunkKey(extent.chunk))
    if (!sealed) return undefined
    parts.push(openNamed(sealed, checkpoint.id, name, extent.chunk, extent.sizeBytes))
  }
  return Buffer.concat(parts)
}

function openNamed(sealed: Uint8Array, id: string, name: string, chunk: string, sizeBytes: number): Buffer {
  try {
    return openChunk(sealed, chunk, sizeBytes)
  } catch (cause) {
    if (!(cause instanceof DamagedChunk)) throw cause
    const message = `checkpoint '${id}' is damaged: chunk ${chunk} of '${name}': ${cause.message}`
    throw new SandlotError('checkpoint_damaged', message, { cause })
  }
}
