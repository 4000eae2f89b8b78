import { removeEverything } from '@sandlot/node'
import { unmountBelow } from './unmount-below.ts'

/** Ends this home's sandboxes and removes all their resources from the machine. The server must not run. */
export async function removeMachines(home: string): Promise<void> {
  await unmountBelow(home)
  await removeEverything(home)
}
