import { SandlotError } from '@sandlot/protocol'
import type { VolumeMount } from '@sandlot/protocol/node'

/** As a create names a volume. */
export interface AskedMount {
  name: string
  path: string
  readOnly?: boolean
}

/** As many as a machine has places for. */
const MAX_MOUNTS = 16
/** Paths that the sandbox itself needs, and all that is below the second group. */
const KEPT = ['/', '/dev', '/proc', '/sys', '/run', '/etc', '/usr', '/bin', '/sbin', '/lib']
const KEPT_WITH_ALL_BELOW = ['/dev', '/proc', '/sys', '/run/sandlot', '/opt/sandlot']

/**
 * Checks the volumes that a create asks for, and finds them. The texts are those of E2B (wire spec 2, section E).
 * @param volumeIdOf id of the team's volume of this name @throws SandlotError invalid_request naming every bad mount
 */
export function checkedMounts(
  asked: readonly AskedMount[],
  volumeIdOf: (name: string) => string | undefined,
): VolumeMount[] {
  const reasons: string[] = []
  const used = new Set<string>()
  const mounts = asked.map(({ name, path, readOnly }, index): VolumeMount => {
    const volumeId = volumeIdOf(name)
    const reason = volumeId === undefined ? `volume '${name}' not found` : reasonAgainst(path, used)
    if (reason !== undefined) reasons.push(`volume mount #${index}: ${reason}`)
    used.add(cleaned(path))
    return { volumeId: volumeId ?? '', name, path: cleaned(path), ...(readOnly && { isReadOnly: true }) }
  })
  if (asked.length > MAX_MOUNTS)
    reasons.push(`a sandbox has at most ${MAX_MOUNTS} volumes, these are ${asked.length}`)
  if (reasons.length > 0)
    throw new SandlotError('invalid_request', ['invalid mounts:', ...reasons].join('\n\t- '))
  return mounts
}

function reasonAgainst(path: string, used: ReadonlySet<string>): string | undefined {
  if (path === '') return 'path cannot be empty'
  if (!path.startsWith('/')) return 'path must be absolute'
  if (path.split('/').some((name) => name === '.' || name === '..'))
    return "path must not contain any '.' or '..' components"
  const clean = cleaned(path)
  if (used.has(clean)) return `path '${path}' is already used`
  if (path.includes('\0')) return 'path must not contain a null byte'
  if (KEPT.includes(clean) || KEPT_WITH_ALL_BELOW.some((kept) => clean.startsWith(`${kept}/`)))
    return `path '${path}' is needed by the sandbox itself: choose another, such as /mnt/data`
  return undefined
}

/** Without slashes that mean nothing. */
const cleaned = (path: string): string => path.replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1')
