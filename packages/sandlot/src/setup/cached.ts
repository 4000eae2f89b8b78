import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { withLock } from '../kernel-lock.ts'
import type { Step } from '../progress.ts'

/** The longest any one product may take to make; whoever waits for its lock waits as long. */
const MAKE_TIMEOUT_MS = 20 * 60_000

/**
 * The file at `path`, alone in its folder, made by `make` if it is not there yet. Two set-ups at once make it once, and a failed one
 * leaves nothing: `make` writes into a folder that is thrown away, the result appears by rename.
 * @param make returns the path of what it made inside `scratch`
 */
export async function cachedFile(
  path: string,
  step: Step,
  make: (scratch: string) => Promise<string>,
): Promise<'found' | 'made'> {
  if (existsSync(path)) return 'found'
  const folder = dirname(path)
  await mkdir(dirname(folder), { recursive: true })
  const waiting = () => step.update('another set-up is making it, waiting')
  return withLock(`${folder}.lock`, MAKE_TIMEOUT_MS, waiting, async () => {
    if (existsSync(path)) return 'found'
    // The lock is ours, so what lies here is left from a set-up that was killed.
    const scratch = `${folder}.making`
    await rm(scratch, { recursive: true, force: true })
    await mkdir(scratch)
    try {
      const made = await make(scratch)
      await mkdir(folder, { recursive: true })
      await rename(made, path)
      return 'made'
    } finally {
      await rm(scratch, { recursive: true, force: true })
    }
  })
}
