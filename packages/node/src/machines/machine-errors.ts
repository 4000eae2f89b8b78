import { SandlotError } from '@sandlot/protocol'
import { diskSpace } from '../pressure/disk-space.ts'

const FULL_DISK_BYTES = 4 * 1024 * 1024

/**
 * Explains a failed start or save. @param dir folder on the disk, which is checked because runsc cannot log its error on
 * a full disk
 */
export function explainFailure(error: unknown, dir: string): SandlotError {
  const { freeBytes } = diskSpace(dir)
  return freeBytes < FULL_DISK_BYTES ? diskFull(error) : toSandlotError(error)
}

/** Explains a dead kernel. Kernels write files through mapped memory, so a full disk kills them with SIGBUS. */
export const kernelGone = (cause: unknown): SandlotError =>
  new SandlotError(
    'checkpoint_failed',
    "the sandbox's kernel ended by itself, which happens when it writes while the disk of this machine is full",
    { cause },
  )

const diskFull = (cause: unknown): SandlotError =>
  new SandlotError('disk_full', `the disk of this machine is full: ${(cause as Error).message}`, { cause })

function toSandlotError(error: unknown): SandlotError {
  if (error instanceof SandlotError) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC') return diskFull(error)
  return new SandlotError('sandbox_create_failed', `a machine could not be started: ${message}`, {
    cause: error,
  })
}
