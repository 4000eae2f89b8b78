import { join } from 'node:path'
import { run } from '@sandlot/node/run'
import { SandlotError } from '@sandlot/protocol'
import type { Step } from '../progress.ts'
import { cachedFile } from './cached.ts'
import { findGo, goEnvironment } from './go.ts'

/** Of go-containerregistry. */
export const CRANE_VERSION = 'v0.22.1'
const BUILD_TIMEOUT_MS = 10 * 60_000

/**
 * The pinned crane in the machine's cache, which pulls images for builds; built with Go when it is not there.
 * @throws SandlotError invalid_request with the compiler's words when it cannot be built
 */
export async function ensureCrane(cache: string, step: Step = { update: () => {} }): Promise<string> {
  const path = join(cache, 'crane', CRANE_VERSION, 'crane')
  await cachedFile(path, step, async (scratch) => {
    step.update('building with Go')
    const module = `github.com/google/go-containerregistry/cmd/crane@${CRANE_VERSION}`
    try {
      await run((await findGo()).path, ['install', '-ldflags=-s -w', module], {
        timeoutMs: BUILD_TIMEOUT_MS,
        env: goEnvironment({ GOBIN: scratch }),
        cwd: scratch,
      })
    } catch (cause) {
      throw new SandlotError(
        'invalid_request',
        `crane ${CRANE_VERSION}, which pulls images, could not be built: ${(cause as Error).message}`,
        { cause },
      )
    }
    return join(scratch, 'crane')
  })
  return path
}
