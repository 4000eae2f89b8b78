import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, openSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'

/**
 * Owner on disk of files of user and group 0 of a sandbox. Fixed forever: it is written into the files of every volume.
 * Another number would turn all owners into strangers.
 */
export const FIRST_ID = 100_000
/** As many as machines map (`packages/node/src/volumes/volume-ids.ts`). */
const COUNT = 65_536
/** Largest id that a file of a volume may have in a sandbox. */
export const LARGEST_ID = COUNT - 1

/**
 * Creates a user namespace for mounts whose files have ids from `FIRST_ID` on disk and from 0 in the mount.
 * @returns an open file of the namespace, which lives as long as the file is open
 */
export async function openIdMap(): Promise<number> {
  const child = spawn('unshare', ['--user', 'sh', '-c', 'echo ready; read line'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  try {
    const ended = once(child, 'exit')
    const [first] = (await Promise.race([once(child.stdout, 'data'), ended])) as [unknown]
    if (!Buffer.isBuffer(first)) throw new Error('unshare --user failed')
    const map = `${FIRST_ID} 0 ${COUNT}`
    await writeFile(`/proc/${child.pid}/uid_map`, map)
    await writeFile(`/proc/${child.pid}/gid_map`, map)
    return openSync(`/proc/${child.pid}/ns/user`, constants.O_RDONLY)
  } catch (cause) {
    throw new SandlotError(
      'volume_unavailable',
      `volumes need user namespaces, which this machine refuses: ${(cause as Error).message}`,
      { cause },
    )
  } finally {
    child.kill('SIGKILL')
  }
}
