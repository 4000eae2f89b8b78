import type { DiskSpace } from '@sandlot/node'

/** Bounds the floor on a small disk, which would otherwise stay mostly empty. */
const MAX_FLOOR_SHARE = 0.2

/** Bytes of a disk that the catalog may still take; negative: the catalog takes too much already. */
export const roomForCatalog = ({ freeBytes, sizeBytes }: DiskSpace, floorMB: number): number =>
  freeBytes - Math.min(floorMB * 2 ** 20, sizeBytes * MAX_FLOOR_SHARE)
