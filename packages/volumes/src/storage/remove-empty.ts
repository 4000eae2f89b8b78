import { rmdir } from 'node:fs/promises'
import { codeOf } from '../errors.ts'

/** Removes a folder that must be empty; one that is not stays, with whatever is mounted there. A folder that is gone resolves. */
export async function removeEmpty(folder: string): Promise<void> {
  await rmdir(folder).catch((error: unknown) => {
    if (codeOf(error) !== 'ENOENT') throw error
  })
}
