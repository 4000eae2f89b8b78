import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '@sandlot/node/host/run'
import type { Step } from '../progress.ts'
import { findGo, goEnvironment } from './go.ts'

const BUILD_TIMEOUT_MS = 15 * 60_000

/** Returns the folder of a program, where `go.mod` and `go.sum` list every module with its hash. */
export const pinnedModules = (program: string): string =>
  fileURLToPath(new URL(`pinned/${program}`, import.meta.url))

export interface PinnedBuild {
  /** Folder with `go.mod` and `go.sum`. */
  modules: string
  /** Import path of the program. */
  package: string
  ldflags: string
}

/**
 * Builds a Go program from exactly the modules in its `go.sum`. `go install program@version` would ask the checksum
 * database instead, which GONOSUMDB, GOPRIVATE or GOSUMDB=off in the environment silently disable.
 * @returns path of the file, in `scratch`
 * @throws CommandError with Go's message, e.g. when a module has another hash
 */
export async function buildPinned(
  { modules, package: path, ldflags }: PinnedBuild,
  scratch: string,
  step: Step,
): Promise<string> {
  const { path: go } = await findGo()
  const file = join(scratch, path.split('/').at(-1)!)
  const args = ['build', '-mod=readonly', '-buildvcs=false', `-ldflags=${ldflags}`, '-o', file, path]
  await run(go, args, {
    timeoutMs: BUILD_TIMEOUT_MS,
    env: goEnvironment(),
    cwd: modules,
    onLine: (line) => step.update(`building with Go: ${line.slice(0, 60)}`),
  })
  return file
}
