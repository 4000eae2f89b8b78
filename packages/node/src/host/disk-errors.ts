import { SandlotError } from '@sandlot/protocol'

/** What the operating system said about a disk as an error that may cross our door; others pass as they are. */
export function namedDiskError(error: unknown, doing: string): SandlotError {
  if (error instanceof SandlotError) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new SandlotError('disk_full', `${doing}: the disk of this machine is full`, { cause: error })
  return new SandlotError('internal_server_error', `${doing}: ${message}`, { cause: error })
}

export const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'
