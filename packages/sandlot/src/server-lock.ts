import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { tryLock } from './kernel-lock.ts'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'
import { writeAtomically } from './write-atomically.ts'

/** What `<home>/server.json` says about the server of a home. */
export interface ServerRecord extends ProcessIdentity {
  listen: string
  domain: string
  /** Server that is the active one of the database; this one does not listen while it waits for that server. */
  standbyFor?: string
}

const recordPath = (home: string): string => join(home, 'server.json')

/** Every home that a server ever ran on holds this file. */
export const serverLockPath = (home: string): string => join(home, 'server.lock')

/** The server that runs on this home, or undefined: a record whose process is gone counts for nothing. */
export function findServer(home: string): ServerRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(recordPath(home), 'utf8')) as ServerRecord
    return isAlive(record) ? record : undefined
  } catch {
    return undefined
  }
}

export interface ServerLock {
  /** Tells `findServer` more of this server. */
  note(more: Partial<ServerRecord>): void
  release(): void
}

/**
 * Makes this process the one server of a home until it ends or releases; a dead server's record is taken over.
 * @throws SandlotError conflict when another one runs
 */
export function becomeServer(home: string, about: { listen: string; domain: string }): ServerLock {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const lock = tryLock(serverLockPath(home))
  if (!lock) {
    const holder = findServer(home)
    const who = holder ? `pid ${holder.pid}, listening on ${holder.listen}` : 'it is just starting'
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

/** Where this machine reaches a server, also one that listens on all addresses. */
export const localUrl = (listen: string): string =>
  `http://${listen.replace(/^(0\.0\.0\.0|\[::\])/, '127.0.0.1')}`
