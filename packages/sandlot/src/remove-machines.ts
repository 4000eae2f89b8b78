import { removeEverything } from '@sandlot/node'
import { removeMounts } from '@sandlot/volumes'
import { unmountBelow } from './unmount-below.ts'
import { attachedDir } from './volumes.ts'

/** Ends the sandboxes of a home and removes all their resources from the machine. The server must not be running. */
export async function removeMachines(home: string): Promise<void> {
  await unmountBelow(home)
  await removeMounts(attachedDir(home))
  await removeEverything(home)
}
