import type { DiskSpace } from '@sandlot/node'

/** A small disk is not kept empty for the sake of the floor. */
const MAX_FLOOR_SHARE = 0.2

/** What the catalogue may still take of a disk; negative: it has too much already. */
export const roomForCatalog = ({ freeBytes, sizeBytes }: DiskSpace, floorMB: number): number =>
  freeBytes - Math.min(floorMB * 2 ** 20, sizeBytes * MAX_FLOOR_SHARE)
