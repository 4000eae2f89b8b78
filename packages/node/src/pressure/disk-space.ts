import { statfsSync } from 'node:fs'

export interface DiskSpace {
  freeBytes: number
  sizeBytes: number
}

/** Of the disk that a folder lies on; the kernel knows it without asking the disk. */
export function diskSpace(folder: string): DiskSpace {
  const { bavail, blocks, bsize } = statfsSync(folder)
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize }
}
