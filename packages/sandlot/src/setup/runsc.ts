import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { CommandError, run } from '@sandlot/node/host/run'
import { SandlotError } from '@sandlot/protocol'
import type { Step } from '../progress.ts'
import { buildPinned, pinnedModules } from './build-pinned.ts'
import { cachedFile } from './cached.ts'
import { findExecutable } from './go.ts'
import { copyKnown, download, knownHashes, RUNSC_VERSION, releaseUrl } from './runsc-release.ts'

export { RUNSC_VERSION } from './runsc-release.ts'

/**
 * Path of the verified binary. Earlier versions of Sandlot kept unverified ones in a folder without the word `verified`.
 */
export const runscPath = (cache: string): string => join(cache, 'runsc', `${RUNSC_VERSION}-checked`, 'runsc')

/** Version that `runsc --version` prints, for example `release-20260905.0`. */
export async function runscVersion(path: string): Promise<string> {
  const { stdout } = await run(path, ['--version'], { timeoutMs: 10_000 })
  return /^runsc version (\S+)/m.exec(stdout)?.[1] ?? 'unknown'
}

export const isPinned = (version: string): boolean => version === `release-${RUNSC_VERSION}`

/**
 * Provides the pinned runsc in the machine's cache: from PATH or the official release if the sha512 is known, else built
 * with Go from modules whose hashes are in the source.
 * @param expectedSha512 setting `runscSha512`: sha512 of a binary that the administrator has verified, or empty
 * @throws SandlotError invalid_request when none of the three works, with all their reasons
 */
export async function ensureRunsc(cache: string, expectedSha512: string, step: Step): Promise<string> {
  const hashes = knownHashes(expectedSha512)
  let how = 'ready'
  await cachedFile(runscPath(cache), step, async (scratch) => {
    const made = await obtain(scratch, hashes, step)
    how = made.how
    await chmod(made.file, 0o755)
    const version = await runscVersion(made.file)
    if (!isPinned(version))
      throw new SandlotError('invalid_request', `runsc says it is ${version}, not ${RUNSC_VERSION}`)
    return made.file
  })
  return `${RUNSC_VERSION} ${how}`
}

async function obtain(scratch: string, hashes: string[], step: Step): Promise<{ file: string; how: string }> {
  const file = join(scratch, 'runsc')
  const onPath = findExecutable('runsc')
  const notCopied = onPath && (await copyKnown(onPath, file, hashes))
  if (onPath && !notCopied) return { file, how: `copied from ${onPath}` }
  let notDownloaded: string
  try {
    await download(releaseUrl(), file, hashes, step)
    return { file, how: 'downloaded' }
  } catch (error) {
    notDownloaded = describe(error)
  }
  step.update(`no release download (${notDownloaded}); building with Go, about a minute`)
  try {
    return { file: await build(scratch, step), how: `built with Go${notCopied ? `; ${notCopied}` : ''}` }
  } catch (error) {
    throw new SandlotError(
      'invalid_request',
      `runsc ${RUNSC_VERSION} could not be obtained.\n  On PATH: ${notCopied ?? 'none'}\n  Download from ${releaseUrl()}: ${notDownloaded}\n` +
        `  Build: ${describe(error)}\n  Make one of these possible (docs/adr/0021), and start again.`,
      { cause: error },
    )
  }
}

/** Builds runsc, setting the version of the release through the linker, because it would be VERSION_MISSING otherwise. */
const build = (scratch: string, step: Step): Promise<string> =>
  buildPinned(
    {
      modules: pinnedModules('runsc'),
      package: 'gvisor.dev/gvisor/runsc',
      ldflags: `-s -w -X gvisor.dev/gvisor/runsc/version.version=release-${RUNSC_VERSION}`,
    },
    scratch,
    step,
  )

function describe(error: unknown): string {
  if (error instanceof CommandError || error instanceof SandlotError) return error.message
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message} (${cause.message})` : message
}
