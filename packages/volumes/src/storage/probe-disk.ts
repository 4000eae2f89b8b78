import { constants, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { canMapIds, openIdMap } from '@sandlot/linux'
import { FIRST_VOLUME_ID, VOLUME_IDS } from '@sandlot/protocol/node'
import { isOnNetwork } from './disk-kind.ts'

/** What a disk can do for volumes. */
export interface DiskAbilities {
  isOnNetwork: boolean
  /** Owners of files can be mapped, so that sandboxes with users of their own can use volumes that are folders. */
  canMapIds: boolean
  /** A copy of a volume shares blocks with it, and takes neither time nor disk. */
  hasReflinks: boolean
}

/** Tries what volumes in a folder need, with a temporary folder in it. @throws when nothing can be written there */
export async function probeDisk(dir: string): Promise<DiskAbilities> {
  const work = await mkdtemp(join(dir, '.sandlot-doctor-'))
  const idMap = await openIdMap([{ inside: FIRST_VOLUME_ID, outside: 0, count: VOLUME_IDS }])
  try {
    const file = join(work, 'file')
    await writeFile(file, Buffer.alloc(64 * 1024))
    const hasReflinks = await copyFile(file, join(work, 'copy'), constants.COPYFILE_FICLONE_FORCE).then(
      () => true,
      () => false,
    )
    return { isOnNetwork: await isOnNetwork(dir), canMapIds: await canMapIds(work, idMap), hasReflinks }
  } finally {
    await idMap.close()
    await rm(work, { recursive: true, force: true })
  }
}
