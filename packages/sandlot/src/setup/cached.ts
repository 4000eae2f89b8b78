import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { withLock } from '../kernel-lock.ts'
import type { Step } from '../progress.ts'

/** Longest time to make any one file; callers wait as long for the lock. */
const MAKE_TIMEOUT_MS = 20 * 60_000

/**
 * Provides the file at `path`, alone in its folder; `make` makes the file if it is missing. Concurrent set-ups make the file
 * once, and a failed one leaves nothing: `make` writes into a temporary folder, and the result appears by rename.
 * @param make returns the path of the new file inside `scratch`
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
    // This process holds the lock, so these files are left from a set-up that was killed.
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
