import { join } from 'node:path'
import { diskSpace, holdNames, roomAbove } from '@sandlot/node'
import { Volumes } from '@sandlot/volumes'
import type { Logger } from 'pino'
import { tryLock } from './kernel-lock.ts'
import { openNodeId } from './node-id.ts'
import type { Settings } from './settings.ts'

/** Folder for the mounts of attached volumes, in /run: nothing removes it recursively. */
export const attachedDir = async (home: string): Promise<string> =>
  join((await holdNames(home)).mountsDir, 'attached')

/**
 * Opens the volumes of a home.
 * @returns undefined, which is logged, on a machine that cannot have any: everything else works without
 */
export async function openVolumes(settings: Settings, logger: Logger): Promise<Volumes | undefined> {
  const { home, volumesDir, volumeKind, diskFloorMB } = settings
  const dir = volumesDir || join(home, 'volumes')
  try {
    return await Volumes.open({
      dir,
      mountDir: await attachedDir(home),
      kind: volumeKind === 'auto' ? undefined : volumeKind,
      server: openNodeId(home),
      lock: tryLock,
      roomBytes: () => roomAbove(diskSpace(dir), diskFloorMB * 2 ** 20),
      logger,
    })
  } catch (err) {
    logger.warn({ err }, 'this server has no volumes')
    return undefined
  }
}
