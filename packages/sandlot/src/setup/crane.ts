import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import type { Step } from '../progress.ts'
import { buildPinned, pinnedModules } from './build-pinned.ts'
import { cachedFile } from './cached.ts'

/** Of go-containerregistry, as `pinned/crane/go.mod` has it. */
export const CRANE_VERSION = 'v0.22.1'
const CRANE_PACKAGE = 'github.com/google/go-containerregistry/cmd/crane'

/**
 * The pinned crane in the machine's cache, which pulls images for builds; built with Go when it is not there.
 * @throws SandlotError invalid_request with the compiler's words when it cannot be built
 */
export async function ensureCrane(cache: string, step: Step = { update: () => {} }): Promise<string> {
  const path = join(cache, 'crane', CRANE_VERSION, 'crane')
  await cachedFile(path, step, async (scratch) => {
    step.update('building with Go')
    try {
      const built = { modules: pinnedModules('crane'), package: CRANE_PACKAGE, ldflags: '-s -w' }
      return await buildPinned(built, scratch, step)
    } catch (cause) {
      throw new SandlotError(
        'invalid_request',
        `crane ${CRANE_VERSION}, which pulls images, could not be built: ${(cause as Error).message}`,
        { cause },
      )
    }
  })
  return path
}
