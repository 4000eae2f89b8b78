import { readFileSync } from 'node:fs'

/**
 * Users and groups of the host that nobody else is given: systemd keeps 0x70000000 to 0x7fffffff unused
 * (https://systemd.io/UIDS-GIDS/). Half of the bits tell instances apart, half their slots (at most 16 000).
 */
const FIRST_ID = 0x7000_0000
const SLOT_BITS = 14
export const HOST_IDS = 2 ** SLOT_BITS
/** Most that the setting `slots` takes; the ids above are for machines without a slot. */
export const MAX_SLOTS = 16_000
const INSTANCE_BITS = 14
/** Of a server that is itself in a user namespace, where usually only 65 536 ids exist. */
const FIRST_ID_IN_CONTAINER = 32_768

/**
 * The id that kernel and gofer of a slot have on this host as user and as group: one for each sandbox that can live at a time, so that a kernel
 * that a guest has broken out into owns no file and no process of another.
 * @param instance hexadecimal name of the instance
 * @param maps content of /proc/self/uid_map and gid_map
 * @returns undefined where the server has too few ids of its own to give: all run as its root, in user namespaces of their own
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
