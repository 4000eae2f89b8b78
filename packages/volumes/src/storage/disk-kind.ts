import { statfs } from 'node:fs/promises'

/** Types of network file systems, as `statfs` names them (statfs(2)). */
const NETWORK_TYPES = new Set([
  0x6969, 0x00c36400, 0xff534d42, 0xfe534d42, 0x65735546, 0x0bd00bd0, 0x01021997,
  // file systems on disks that several hosts share: GFS2, OCFS2, GPFS
  0x01161970, 0x7461636f, 0x47504653,
])

/** Whether a folder is on a network file system, or on a disk that several hosts share. */
export const isOnNetwork = async (dir: string): Promise<boolean> =>
  NETWORK_TYPES.has(Number((await statfs(dir)).type))
