import { readFileSync } from 'node:fs'

/**
 * First of the users and groups that no other program on the host uses: systemd keeps 0x70000000 to 0x7fffffff unused
 * (https://systemd.io/UIDS-GIDS/). Half of the bits distinguish instances, half their slots (at most 16 000).
 */
const FIRST_ID = 0x7000_0000
const SLOT_BITS = 14
export const HOST_IDS = 2 ** SLOT_BITS
/** Maximum of the setting `slots`; the ids above belong to machines without a slot. */
export const MAX_SLOTS = 16_000
const INSTANCE_BITS = 14
/** First id for a server in a user namespace, where usually only 65 536 ids exist. */
const FIRST_ID_IN_CONTAINER = 32_768

/**
 * Assigns the user and group id that kernel and gofer of a slot have on this host. Each sandbox has a different id, so
 * that a guest that escapes into its kernel owns no file or process of another sandbox.
 * @param instance hexadecimal name of the instance
 * @param maps content of /proc/self/uid_map and gid_map
 * @returns undefined when the server has too few ids: all kernels then run as its root, in separate user namespaces
 */
export function hostIdsFor(instance: string, maps = ownMaps()): ((slotIndex: number) => number) | undefined {
  const first = FIRST_ID + ((Number.parseInt(instance, 16) % 2 ** INSTANCE_BITS) << SLOT_BITS)
  const base = [first, FIRST_ID_IN_CONTAINER].find((id) =>
    maps.every((map) => isMapped(map, id, id + HOST_IDS)),
  )
  return base === undefined ? undefined : (slotIndex) => base + slotIndex
}

const ownMaps = (): string[] =>
  ['uid_map', 'gid_map'].map((name) => readFileSync(`/proc/self/${name}`, 'utf8'))

const isMapped = (map: string, from: number, to: number): boolean =>
  map.split('\n').some((line) => {
    const [start = 0, , size = 0] = line.trim().split(/\s+/).map(Number)
    return line !== '' && start <= from && to <= start + size
  })
