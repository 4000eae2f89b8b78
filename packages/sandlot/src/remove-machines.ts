import { join } from 'node:path'
import { removeEverything } from '@sandlot/node'
import { removeMounts } from '@sandlot/volumes'
import { unmountBelow } from './unmount-below.ts'
import { attachedDir } from './volumes.ts'

/**
 * Ends the sandboxes of a home and removes all their resources from the machine. The server must not be running. Disks that
 * an administrator has mounted at or in the home stay; `unmountBelow` is to follow before the home is removed.
 */
export async function removeMachines(home: string): Promise<void> {
  await unmountBelow(join(home, 'run'))
  await removeMounts(await attachedDir(home))
  await removeEverything(home)
}
