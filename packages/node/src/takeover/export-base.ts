import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExportedBase, ExportedFile } from '@sandlot/protocol/node'
import type { RemoteStore } from '../objects/sealed-store.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import { identify, uploadFile } from './exported-files.ts'

/** Limit of cached identities; an instance has few images and envds. */
const MAX_REMEMBERED = 100

/**
 * Returns a function that uploads image and envd of a checkpoint to the remote store.
 * @returns undefined when the checkpoint itself is not (yet) in the remote store, or there is none
 */
export function createBaseExporter(
  tiers: Pick<CheckpointTiers, 'isRemote' | 'describe'>,
  remote: RemoteStore | undefined,
): (checkpointId: string) => Promise<ExportedBase | undefined> {
  /** Cached by path, size and time, because hashing an image takes a second and thousands of checkpoints share one. */
  const exported = new Map<string, ExportedFile>()

  async function exportFile(store: RemoteStore, path: string): Promise<ExportedFile> {
    const { size, mtimeNs, ino } = await stat(path, { bigint: true })
    const key = [path, size, mtimeNs, ino].join(' ')
    const known = exported.get(key)
    if (known) return known
    const file = await identify(path)
    await uploadFile(store, path, file)
    if (exported.size >= MAX_REMEMBERED) exported.clear()
    exported.set(key, file)
    return file
  }

  return async (checkpointId) => {
    if (!remote || !(await tiers.isRemote(checkpointId))) return undefined
    const { imagePath, guestDir } = await tiers.describe(checkpointId)
    const image = await exportFile(remote, imagePath)
    return { image, envd: await exportFile(remote, join(guestDir, 'envd')) }
  }
}
