import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants, openSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import { FIRST_VOLUME_ID, VOLUME_IDS } from '@sandlot/protocol/node'

/**
 * Creates a user namespace for mounts whose files have ids from `FIRST_VOLUME_ID` on disk and from 0 in the mount.
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
    const map = `${FIRST_VOLUME_ID} 0 ${VOLUME_IDS}`
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
