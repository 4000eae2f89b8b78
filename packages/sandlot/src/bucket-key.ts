import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { makeHome } from './home-folder.ts'
import type { Settings } from './settings.ts'
import { writeAtomically } from './write-atomically.ts'

const KEY = /^[0-9a-f]{64}$/

/**
 * Reads the keys for objects in the bucket: `checkpointSecret`, else a key of this home that is created at the first
 * start. The first key seals new objects; the home's key, if the home was used before a secret was set, still opens older
 * objects.
 * @throws SandlotError invalid_request when the key file is damaged
 */
export function bucketSecrets({
  home,
  checkpointSecret,
}: Pick<Settings, 'home' | 'checkpointSecret'>): [string, ...string[]] {
  const path = join(home, 'bucket.key')
  const own = readKey(path)
  if (checkpointSecret !== '') return own === undefined ? [checkpointSecret] : [checkpointSecret, own]
  if (own !== undefined) return [own]
  const made = randomBytes(32).toString('hex')
  makeHome(home)
  writeAtomically(path, `${made}\n`, 0o600)
  return [made]
}

function readKey(path: string): string | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  if (KEY.test(text)) return text
  throw new SandlotError(
    'invalid_request',
    `${path} does not hold 64 hex digits: restore the original file, without which no object of this home in the bucket can be read. If none is needed, delete the file`,
  )
}
