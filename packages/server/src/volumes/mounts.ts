import { SandlotError } from '@sandlot/protocol'
import type { VolumeMount } from '@sandlot/protocol/node'
import type { Volume } from './repository.ts'

/** As a caller names a volume. */
export interface AskedMount {
  name: string
  path: string
  readOnly?: boolean
}

/** @returns the team's volume of this name */
export type FindVolume = (name: string) => Pick<Volume, 'volumeId' | 'snapshotOf'> | undefined

/** As many as a machine has places for. */
const MAX_MOUNTS = 16
/** Paths that the sandbox itself needs, and all that is below the second group. */
const KEPT = ['/', '/dev', '/proc', '/sys', '/run', '/etc', '/usr', '/bin', '/sbin', '/lib']
const KEPT_WITH_ALL_BELOW = ['/dev', '/proc', '/sys', '/run/sandlot', '/opt/sandlot']

/**
 * Checks the volumes that a create asks for, and finds them. The texts are those of E2B (wire spec 2, section E).
 * @throws SandlotError invalid_request naming every bad mount
 */
export function checkedMounts(asked: readonly AskedMount[], find: FindVolume): VolumeMount[] {
  const reasons: string[] = []
  const used = new Set<string>()
  const mounts = asked.map((one, index): VolumeMount => {
    const volume = find(one.name)
    const reason =
      reasonWithout(volume, one) ??
      (used.has(cleaned(one.path)) ? `path '${one.path}' is already used` : undefined)
    if (reason !== undefined) reasons.push(`volume mount #${index}: ${reason}`)
    used.add(cleaned(one.path))
    return mountOf(one, volume)
  })
  if (asked.length > MAX_MOUNTS)
    reasons.push(`a sandbox has at most ${MAX_MOUNTS} volumes, these are ${asked.length}`)
  if (reasons.length > 0)
    throw new SandlotError('invalid_request', ['invalid mounts:', ...reasons].join('\n\t- '))
  return mounts
}

/**
 * Checks a volume that a sandbox gets while it runs, and finds it.
 * @param mounted what the sandbox has
 * @throws SandlotError invalid_request, conflict (another volume at the path, or the same in another way)
 */
export function checkedMount(
  asked: AskedMount,
  find: FindVolume,
  mounted: readonly VolumeMount[],
): VolumeMount {
  const volume = find(asked.name)
  const reason = reasonWithout(volume, asked)
  if (reason !== undefined) throw new SandlotError('invalid_request', reason)
  const mount = mountOf(asked, volume)
  const other = mounted.find(({ path }) => path === mount.path)
  if (other && !isSameMount(other, mount))
    throw new SandlotError(
      'conflict',
      `path '${mount.path}' has volume '${other.name}'${other.isReadOnly ? ', read-only' : ''}: unmount it first`,
    )
  if (!other && mounted.length >= MAX_MOUNTS)
    throw new SandlotError(
      'invalid_request',
      `a sandbox has at most ${MAX_MOUNTS} volumes, and this one has ${mounted.length}: unmount one first`,
    )
  return mount
}

export const isSameMount = (one: VolumeMount, other: VolumeMount): boolean =>
  one.volumeId === other.volumeId &&
  one.path === other.path &&
  Boolean(one.isReadOnly) === Boolean(other.isReadOnly)

/** Nobody changes the files of a snapshot. */
function mountOf({ name, path, readOnly }: AskedMount, volume: ReturnType<FindVolume>): VolumeMount {
  const isReadOnly = readOnly === true || volume?.snapshotOf !== undefined
  return { volumeId: volume?.volumeId ?? '', name, path: cleaned(path), ...(isReadOnly && { isReadOnly }) }
}

/** @returns what is wrong with a mount, whatever else is mounted */
function reasonWithout(volume: ReturnType<FindVolume>, { name, path }: AskedMount): string | undefined {
  if (!volume) return `volume '${name}' not found`
  if (path === '') return 'path cannot be empty'
  if (!path.startsWith('/')) return 'path must be absolute'
  if (path.split('/').some((part) => part === '.' || part === '..'))
    return "path must not contain any '.' or '..' components"
  if (path.includes('\0')) return 'path must not contain a null byte'
  const clean = cleaned(path)
  if (KEPT.includes(clean) || KEPT_WITH_ALL_BELOW.some((kept) => clean.startsWith(`${kept}/`)))
    return `path '${path}' is needed by the sandbox itself: choose another, such as /mnt/data`
  return undefined
}

/** Without slashes that mean nothing. */
export const cleaned = (path: string): string => path.replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1')
