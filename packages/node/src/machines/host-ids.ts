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
/** Instances are told apart by 14 bits, except for the last ids of the range, which are `GUEST_IDS`. */
const INSTANCES = 2 ** 14 - 4
/** First id for a server in a user namespace, where usually only 65 536 ids exist. */
const FIRST_ID_IN_CONTAINER = 32_768

/** A block of user and group ids. */
export interface IdRange {
  first: number
  count: number
}

/**
 * Ids that users of guests, except root, have on this host when they access a volume: `first` plus their number. All
 * machines share them: no process ever has one, and the mount of a volume gives files other ids on the disk.
 */
const GUEST_IDS: IdRange = { first: 0x7fff_0000, count: 65_536 }
const GUEST_IDS_IN_CONTAINER: IdRange = {
  first: FIRST_ID_IN_CONTAINER + HOST_IDS,
  count: 65_536 - FIRST_ID_IN_CONTAINER - HOST_IDS,
}

/** Returns the user, and group, of the kernel in a slot. */
export type HostIds = (slotIndex: number) => number

/**
 * Assigns the user and group id that kernel and gofer of a slot have on this host. Each sandbox has a different id, so
 * that a guest that escapes into its kernel owns no file or process of another sandbox.
 * @param instance hexadecimal name of the instance
 * @param maps content of /proc/self/uid_map and gid_map
 * @returns undefined when the server has too few ids: all kernels then run as its root, in separate user namespaces
 */
export function hostIdsFor(instance: string, maps = ownMaps()): HostIds | undefined {
  const first = FIRST_ID + ((Number.parseInt(instance, 16) % INSTANCES) << SLOT_BITS)
  const base = [first, FIRST_ID_IN_CONTAINER].find((id) =>
    maps.every((map) => isMapped(map, id, id + HOST_IDS)),
  )
  return base === undefined ? undefined : (slotIndex) => base + slotIndex
}

/** @returns undefined when the server has too few ids: users of guests then have no ids on this host */
export const guestIds = (maps = ownMaps()): IdRange | undefined =>
  [GUEST_IDS, GUEST_IDS_IN_CONTAINER].find(({ first, count }) =>
    maps.every((map) => isMapped(map, first, first + count)),
  )

/** Whether this server has all ids of the host, and so may map the ids of mounts. */
export const hasAllIds = (maps = ownMaps()): boolean => maps.every((map) => isMapped(map, 0, 0xffff_ffff))

const ownMaps = (): string[] =>
  ['uid_map', 'gid_map'].map((name) => readFileSync(`/proc/self/${name}`, 'utf8'))

const isMapped = (map: string, from: number, to: number): boolean =>
  map.split('\n').some((line) => {
    const [start = 0, , size = 0] = line.trim().split(/\s+/).map(Number)
    return line !== '' && start <= from && to <= start + size
  })
