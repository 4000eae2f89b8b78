import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { makeHome } from './home-folder.ts'
import { tryLock } from './kernel-lock.ts'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'
import { writeAtomically } from './write-atomically.ts'

/** Content of `<home>/server.json`: the server of a home. */
export interface ServerRecord extends ProcessIdentity {
  listen: string
  domain: string
  /** Database of the server, without a password. */
  store?: string
  /** Active server of the database, for which this server waits without listening. */
  standbyFor?: string
}

const recordPath = (home: string): string => join(home, 'server.json')

/** Path of a file that exists in every home on which a server has run. */
export const serverLockPath = (home: string): string => join(home, 'server.lock')

/** Finds the running server of a home; the record of an ended process is ignored. */
export function findServer(home: string): ServerRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(recordPath(home), 'utf8')) as ServerRecord
    return isAlive(record) ? record : undefined
  } catch {
    return undefined
  }
}

export interface ServerLock {
  /** Adds fields to the record that `findServer` reads. */
  note(more: Partial<ServerRecord>): void
  release(): void
}

/**
 * Makes this process the only server of a home until the process ends or releases the home; the record of a dead server is
 * replaced.
 * @throws SandlotError conflict when another server runs
 */
export function becomeServer(
  home: string,
  about: Pick<ServerRecord, 'listen' | 'domain' | 'store'>,
): ServerLock {
  makeHome(home)
  const lock = tryLock(serverLockPath(home))
  if (!lock) {
    const holder = findServer(home)
    const who = holder ? `pid ${holder.pid}, listening on ${holder.listen}` : 'starting'
    throw new SandlotError(
      'conflict',
      `a server already runs on ${home} (${who}). Stop it with \`sandlot down --home ${home}\`, or give this one another --home, --listen and --network-range.`,
    )
  }
  const record: ServerRecord = { ...identify(process.pid)!, ...about }
  const write = () => writeAtomically(recordPath(home), `${JSON.stringify(record, null, 2)}\n`, 0o600)
  write()
  return {
    note(more) {
      Object.assign(record, more)
      write()
    },
    release() {
      rmSync(recordPath(home), { force: true })
      lock.release()
    },
  }
}

/** Returns the URL at which this machine reaches a server, also if that listens on all addresses. */
export const localUrl = (listen: string): string =>
  `http://${listen.replace(/^(0\.0\.0\.0|\[::\])/, '127.0.0.1')}`
