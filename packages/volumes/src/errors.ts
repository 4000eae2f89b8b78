import { errorNameOf } from '@sandlot/linux'
import { SandlotError } from '@sandlot/protocol'

/** Returns the name of an error of the system. `node:fs` knows neither ESTALE nor EDQUOT, and gives a sentence instead. */
export function codeOf(error: unknown): string | undefined {
  const { code, errno } = (error as NodeJS.ErrnoException | undefined) ?? {}
  return code?.startsWith('Unknown system error') && errno !== undefined ? errorNameOf(-errno) : code
}

export const noVolume = (volumeId: string): SandlotError =>
  new SandlotError('not_found', `volume '${volumeId}' does not exist`)

export const diskFull = (cause?: unknown): SandlotError =>
  new SandlotError('disk_full', 'the disk of the volumes is full', { cause })

/** Turns an error of the host that concerns the caller's path or disk into one for users; others stay as they are. */
export function fileError(error: unknown, path: string): unknown {
  const shown = path.slice(0, 200)
  switch (codeOf(error)) {
    case 'ENOENT':
      return new SandlotError('not_found', `path '${shown}' does not exist in the volume`, { cause: error })
    case 'ENOTDIR':
      return new SandlotError('not_found', `path '${shown}' is below something that is not a directory`, {
        cause: error,
      })
    case 'EEXIST':
      return new SandlotError('conflict', `path '${shown}' exists already`, { cause: error })
    case 'EISDIR':
      return new SandlotError('conflict', `path '${shown}' is a directory`, { cause: error })
    case 'ENAMETOOLONG':
      return new SandlotError('invalid_request', `path '${shown}' has a name that is too long`, {
        cause: error,
      })
    case 'ELOOP':
      return new SandlotError('invalid_request', `path '${shown}' has too many symbolic links`, {
        cause: error,
      })
    case 'EXDEV':
      return new SandlotError('invalid_request', `path '${shown}' leads out of the volume`, { cause: error })
    case 'ENOSPC':
    case 'EDQUOT':
      return new SandlotError('disk_full', `there is no space left on the volume for '${shown}'`, {
        cause: error,
      })
    case 'EIO':
    case 'ESTALE':
    case 'ENOTCONN':
      return new SandlotError('volume_unavailable', `the volume cannot be read: ${codeOf(error)}`, {
        cause: error,
      })
    case 'EROFS':
      return new SandlotError('volume_unavailable', 'the volume is read-only after an error of its disk', {
        cause: error,
      })
    default:
      return error
  }
}
