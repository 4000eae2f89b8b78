import type { DiskSpace } from '@sandlot/node'

/** Largest share of the disk for the floor, as a small disk would otherwise stay mostly empty. */
const MAX_FLOOR_SHARE = 0.2

/** Bytes of a disk that the catalog may still use; negative: the catalog uses too much already. */
export const roomForCatalog = ({ freeBytes, sizeBytes }: DiskSpace, floorMB: number): number =>
  freeBytes - Math.min(floorMB * 2 ** 20, sizeBytes * MAX_FLOOR_SHARE)
