import { statfs } from 'node:fs/promises'

export interface DiskSpace {
  freeBytes: number
  sizeBytes: number
}

/** Of the disk that a folder lies on. */
export async function diskSpace(folder: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(folder)
  return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize }
}
