import { stat } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { ImageFile } from './image-file.ts'
import { type ImageMachine, type ImageMachineHost, startImageMachine } from './image-machine.ts'
import { ImageRefusal } from './imager-answers.ts'

/** Space for folders and inodes, and the rest of the last block of each file. */
const METADATA_BYTES = 2 * 2 ** 30

export interface RootToPack {
  imagePath: string
  /** Files over the image. */
  fileSystemDir: string
  /** Checkpoint of the files, which must stay unpacked meanwhile. */
  checkpointId?: string
  /** Team that waits for the image. */
  owner: string
  /** Disk quota of the template, which also limits the size of each file, holes included. */
  diskSizeMB: number
  /** Space that the image must leave on the disk. */
  spareBytes: number
}

/**
 * Packs an image and a writable layer into one image, in a machine that has both as root file system but runs none of the
 * programs there.
 * @throws SandlotError, and the signal's reason
 */
export async function packRoot(
  host: ImageMachineHost,
  root: RootToPack,
  file: string,
  signal: AbortSignal,
): Promise<void> {
  const { size } = await stat(root.imagePath)
  const maxBytes = size + root.diskSizeMB * 2 ** 20 + METADATA_BYTES
  const { imagePath, fileSystemDir, checkpointId, diskSizeMB, owner } = root
  const source = { imagePath, fileSystemDir, checkpointId, diskSizeMB, owner }
  const limits = { maxBytes, spareBytes: root.spareBytes }
  const written = await ImageFile.create(file)
  let machine: ImageMachine | undefined
  try {
    machine = await startImageMachine(host, source, written, limits, signal)
    await machine.write({ of: 'root' })
  } catch (error) {
    if (!(error instanceof ImageRefusal)) throw error
    const { detail } = error.failure
    throw new SandlotError('invalid_request', `the file system of the template cannot be packed: ${detail}`)
  } finally {
    await machine?.end()
    await written.close()
  }
}
