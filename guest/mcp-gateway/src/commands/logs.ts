import { existsSync, readFileSync } from 'node:fs'
import type { Places } from '../places.ts'

/** Returns the lines of the log, of the rotated file first. */
export function logs({ logFile }: Places): string[] {
  return [`${logFile}.1`, logFile].flatMap((file) =>
    existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [],
  )
}
