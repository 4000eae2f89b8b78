import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { writeAtomically } from './write-atomically.ts'

/**
 * Returns the id of a home among all homes that share a database; created at the first start and never changed. The id
 * begins with the machine's name, for readability.
 */
export function openNodeId(home: string): string {
  const path = join(home, 'node-id')
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
  const nodeId = `${hostname()}-${randomBytes(4).toString('hex')}`
  writeAtomically(path, `${nodeId}\n`, 0o600)
  return nodeId
}
