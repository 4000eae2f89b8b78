import { SandlotError } from '@sandlot/protocol'
import type { VolumeMachine } from './machine-volumes.ts'

/** gVisor's error when a file of a volume that a process holds was deleted or replaced elsewhere (google/gvisor#11425). */
const STALE = "invalidated dentries can't be saved"

/** Whether saving a machine failed because of a file of a volume that another sandbox or the host has deleted. */
export const isStaleFailure = (error: unknown): boolean =>
  error instanceof Error && error.message.includes(STALE)

/**
 * Asks envd which processes hold such files.
 * @param kill also ends them
 * @returns text like `process 12 (python3) holds /mnt/data/x`, a line for each; empty: none was found
 */
export async function findStaleHolders(
  { guest, volumes }: Pick<VolumeMachine, 'guest' | 'volumes'>,
  { kill }: { kill: boolean },
): Promise<string> {
  const paths = volumes.list().map(({ path }) => path)
  const { status, words } = await guest.ask('/volumes/stale', { paths, kill })
  return status === 200 ? words : ''
}

/** Says what keeps a machine from being saved. */
export function staleError(holders: string, cause: unknown): SandlotError {
  const who = holders.split('\n').join('; ') || 'a process holds a file of a volume'
  return new SandlotError(
    'sandbox_memory_blocked',
    `this sandbox cannot be saved with its memory: ${who}, which another sandbox has deleted or replaced: close it first, or pause without memory`,
    { cause },
  )
}
