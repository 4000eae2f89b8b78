import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildPinned } from '../../packages/sandlot/src/setup/build-pinned.ts'
import { cachedFile } from '../../packages/sandlot/src/setup/cached.ts'

/** Version of go-containerregistry, as in `crane/go.mod`. */
const CRANE_VERSION = 'v0.22.1'
const CRANE_PACKAGE = 'github.com/google/go-containerregistry/cmd/crane'
const step = { update: () => {} }

/** Path of the pinned crane in the machine's cache, built with Go when missing: it serves a registry and pushes to it. */
export async function ensureCrane(cache: string): Promise<string> {
  const path = join(cache, 'crane', CRANE_VERSION, 'crane')
  const modules = fileURLToPath(new URL('crane', import.meta.url))
  await cachedFile(path, step, (scratch) =>
    buildPinned({ modules, package: CRANE_PACKAGE, ldflags: '-s -w' }, scratch, step),
  )
  return path
}
