import { mkdirSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'

/** Makes the folder of an instance unless it exists. @throws SandlotError when there can be none at this path */
export function makeHome(home: string): void {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new SandlotError(
      'invalid_request',
      `the home ${home} cannot be made: ${(error as Error).message}. Choose another with --home`,
      { cause: error },
    )
  }
}
