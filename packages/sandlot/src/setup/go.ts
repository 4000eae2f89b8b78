import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run } from '@sandlot/node/host/run'
import { SandlotError } from '@sandlot/protocol'

/** Oldest version that the go.mod files of gVisor and envd allow. */
export const MINIMUM_GO = [1, 24] as const

/** Folders where Go is usually installed, which sudo and cron leave out of PATH. */
const USUAL_FOLDERS = ['/usr/local/go/bin', '/usr/lib/go/bin', '/snap/bin']

/** Finds the first executable of that name on PATH and in the given folders. */
export function findExecutable(name: string, extraFolders: readonly string[] = []): string | undefined {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), ...extraFolders]) {
    const file = join(folder, name)
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {}
  }
}

export interface GoToolchain {
  path: string
  /** For example `go1.26.8`. */
  version: string
}

/** @throws SandlotError invalid_request when Go is missing or too old */
export async function findGo(): Promise<GoToolchain> {
  const path = findExecutable('go', USUAL_FOLDERS)
  const mend = `Install Go ${MINIMUM_GO.join('.')} or newer from https://go.dev/dl into /usr/local/go`
  if (!path) throw new SandlotError('invalid_request', `Go is not on PATH. ${mend}`)
  const version = (await run(path, ['env', 'GOVERSION'])).stdout.trim()
  const [major = 0, minor = 0] = version.replace(/^go/, '').split('.').map(Number)
  if (major < MINIMUM_GO[0] || (major === MINIMUM_GO[0] && minor < MINIMUM_GO[1])) {
    throw new SandlotError('invalid_request', `${path} is ${version || 'of an unknown version'}. ${mend}`)
  }
  return { path, version }
}

/**
 * Environment for static builds, as gVisor's and envd's binaries must run in empty root file systems. Disables go.work
 * and GOFLAGS of the user. GOFLAGS must not be empty, as Go would then use the value of `go env -w`.
 */
export const goEnvironment = (extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...process.env,
  CGO_ENABLED: '0',
  GOFLAGS: '-mod=readonly',
  GOWORK: 'off',
  HOME: process.env.HOME ?? '/root',
  ...extra,
})
