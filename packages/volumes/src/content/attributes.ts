import { chmod, chown } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { VOLUME_IDS, type VolumeAttributes } from '@sandlot/protocol/node'
import { pathOf } from '../linux/system-calls.ts'
import { statDescriptor } from './descriptors.ts'

const LARGEST_MODE = 0o7777
/** Leaves a user or a group as it is (chown(2)). */
const UNCHANGED = -1

/** @throws SandlotError invalid_request */
export function checkAttributes({ uid, gid, mode }: VolumeAttributes): void {
  const check = (name: string, value: number | undefined, largest: number) => {
    if (value !== undefined && !(Number.isInteger(value) && value >= 0 && value <= largest))
      throw new SandlotError(
        'invalid_request',
        `${name} is ${value}, it must be a whole number from 0 to ${largest}`,
      )
  }
  check('uid', uid, VOLUME_IDS - 1)
  check('gid', gid, VOLUME_IDS - 1)
  check('mode', mode, LARGEST_MODE)
}

/** Changes an open entry, whatever its name leads to now. A symbolic link has an owner, but no mode. */
export async function applyAttributes(
  descriptor: number,
  { uid, gid, mode }: VolumeAttributes,
): Promise<void> {
  const path = pathOf(descriptor)
  if (uid !== undefined || gid !== undefined) await chown(path, uid ?? UNCHANGED, gid ?? UNCHANGED)
  if (mode === undefined) return
  if ((await statDescriptor(descriptor)).isSymbolicLink())
    throw new SandlotError('invalid_request', 'a symbolic link has no mode: change that of its target')
  // last, as a change of the owner clears setuid and setgid
  await chmod(path, mode)
}
