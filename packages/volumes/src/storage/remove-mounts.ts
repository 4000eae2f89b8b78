import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { mountsIn, unmountLazily } from '@sandlot/linux'
import { codeOf } from '../errors.ts'
import { removeEmpty } from './remove-empty.ts'

/**
 * Ends all mounts of volumes of an instance whose server is not running, and removes the mount points. Only empty folders
 * are removed: the files of a volume stay.
 * @param mountDir as `VolumesOptions.mountDir`
 */
export async function removeMounts(mountDir: string): Promise<void> {
  for (const { target } of mountsIn(mountDir).reverse()) await unmountLazily(target)
  for (const volumeId of await namesIn(mountDir)) {
    for (const part of await namesIn(join(mountDir, volumeId)))
      await removeEmpty(join(mountDir, volumeId, part))
    await removeEmpty(join(mountDir, volumeId))
  }
  await removeEmpty(mountDir)
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  })
}
