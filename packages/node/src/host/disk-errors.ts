import { SandlotError } from '@sandlot/protocol'

/**
 * Maps an error of the operating system to a SandlotError (a full disk to `disk_full`); a SandlotError is returned
 * unchanged.
 */
export function namedDiskError(error: unknown, doing: string): SandlotError {
  if (error instanceof SandlotError) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new SandlotError('disk_full', `${doing}: the disk of this machine is full`, { cause: error })
  return new SandlotError('internal_server_error', `${doing}: ${message}`, { cause: error })
}

export const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'
