import { run } from '../run.ts'

const PACK_TIMEOUT_MS = 10 * 60_000

/**
 * For gVisor: with data inline in inodes execve fails with EFAULT, and an inode with extended attributes cannot be read
 * at all ("Unsupported xattr at inode", pkg/erofs), so they are left out.
 */
export const PACK_OPTIONS = ['-d0', '--quiet', '-E', 'noinline_data', '-x-1']

/** Makes an EROFS image of a folder. */
export async function packFolder(folder: string, image: string): Promise<void> {
  await run('mkfs.erofs', [...PACK_OPTIONS, image, folder], { timeoutMs: PACK_TIMEOUT_MS })
}
