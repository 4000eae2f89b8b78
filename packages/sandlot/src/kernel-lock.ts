import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'

const SQLITE_BUSY = 5
const RETRY_MS = 200

/** Databases with held locks; kept reachable, because a garbage-collected database is closed and loses the lock. */
const held = new Set<DatabaseSync>()

export interface KernelLock {
  release(): void
}

/**
 * Takes an exclusive lock on a file. Node has no flock, but an exclusive SQLite transaction holds a file lock of the
 * kernel. The kernel releases the lock when the process ends, so it can never be stale.
 * @returns undefined when another process holds the lock
 * @throws Error when the folder of the file does not exist
 */
export function tryLock(path: string): KernelLock | undefined {
  const database = new DatabaseSync(path)
  try {
    database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
  } catch (error) {
    database.close()
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined
    throw error
  }
  held.add(database)
  return {
    release() {
      if (held.delete(database)) database.close()
    },
  }
}

/**
 * Runs `work` under the lock, waiting for the lock up to `timeoutMs`.
 * @param onWait called once when another process holds the lock
 */
export async function withLock<T>(
  path: string,
  timeoutMs: number,
  onWait: () => void,
  work: () => Promise<T>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  mkdirSync(dirname(path), { recursive: true })
  let lock = tryLock(path)
  if (!lock) onWait()
  while (!lock) {
    if (performance.now() > deadline)
      throw new Error(`the lock ${path} was held by another process for ${timeoutMs / 1000} s`)
    await sleep(RETRY_MS)
    lock = tryLock(path)
  }
  try {
    return await work()
  } finally {
    lock.release()
  }
}
