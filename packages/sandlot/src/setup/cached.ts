import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { withLock } from '../kernel-lock.ts'
import type { Step } from '../progress.ts'

/** Longest time to make a file; concurrent callers wait this long for the lock. */
const MAKE_TIMEOUT_MS = 20 * 60_000

/**
 * Provides the file at `path`, alone in its folder; `make` makes the file if it is missing. Concurrent set-ups make the
 * file once, and a failure leaves no partial file: `make` writes into a temporary folder, which is then renamed.
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
  const waiting = () => step.update('waiting for another set-up that is making it')
  return withLock(`${folder}.lock`, MAKE_TIMEOUT_MS, waiting, async () => {
    if (existsSync(path)) return 'found'
    // As this process holds the lock, these files belong to a set-up that was killed.
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
