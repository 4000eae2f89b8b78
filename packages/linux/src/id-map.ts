import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

const TIMEOUT_MS = 10_000

/** A block of ids inside a user namespace and the ids outside that they stand for. */
export interface IdMapping {
  inside: number
  outside: number
  count: number
}

/**
 * Creates a user namespace whose users and groups are mapped as given. The namespace lives as long as the handle or a
 * mount that uses it.
 * @throws Error
 */
export async function openIdMap(mappings: readonly IdMapping[]): Promise<FileHandle> {
  // Node cannot create a namespace itself; the process only has to live until its namespace is open
  const child = spawn('unshare', ['--user', 'cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    timeout: TIMEOUT_MS,
  })
  const exited = once(child, 'exit')
  exited.catch(() => {})
  try {
    child.stdin.on('error', () => {}).write('\n')
    // what comes back proves that the process is in its namespace
    await Promise.race([
      once(child.stdout, 'data'),
      exited.then(() => Promise.reject(new Error('unshare failed'))),
    ])
    const text = mappings.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('')
    for (const file of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${file}`, text)
    return await open(`/proc/${child.pid}/ns/user`)
  } finally {
    child.stdin.end()
    child.kill()
    await exited.catch(() => {})
  }
}
