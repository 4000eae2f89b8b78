import { statfsSync } from 'node:fs'

export interface DiskSpace {
  freeBytes: number
  sizeBytes: number
}

/** Measures the disk of a folder. Synchronous, because the kernel answers without reading the disk. */
export function diskSpace(folder: string): DiskSpace {
  const { bavail, blocks, bsize } = statfsSync(folder)
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize }
}
