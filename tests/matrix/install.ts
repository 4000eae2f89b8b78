import { execFile } from 'node:child_process'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const CLIENTS = process.env.SANDLOT_TEST_CLIENTS ?? '/var/cache/sandlot/clients'
const NPM_FLAGS = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
const PIP_FLAGS = ['--quiet', '--no-compile', '--disable-pip-version-check', '--root-user-action=ignore']

export interface Installation {
  registry: 'npm' | 'PyPI'
  /** Name of the folder; packages that an earlier run installed there are used as they are. */
  name: string
  /** Packages with versions, in the form of npm or pip. */
  packages: string[]
  /** Default: `python3`. */
  python?: string
  timeoutMs: number
}

/** Installs packages if no earlier run did. They appear by rename, so that an existing folder is always complete. @returns the folder */
export async function installOnce({
  registry,
  name,
  packages,
  python,
  timeoutMs,
}: Installation): Promise<string> {
  const home = join(CLIENTS, name)
  const isThere = () =>
    access(home).then(
      () => true,
      () => false,
    )
  if (await isThere()) return home
  const unfinished = join(CLIENTS, `.unfinished-${name}-${process.pid}`)
  await mkdir(unfinished, { recursive: true })
  const [file, ...args] =
    registry === 'npm'
      ? ['npm', 'install', ...NPM_FLAGS, '--prefix', unfinished, ...packages]
      : [python ?? 'python3', '-m', 'pip', 'install', ...PIP_FLAGS, '--target', unfinished, ...packages]
  try {
    await promisify(execFile)(file!, args, { timeout: timeoutMs, env: environmentOfRegistries() })
    await rename(unfinished, home)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    if (!(await isThere())) throw error
  }
  return home
}

/** Removes variables that the server's env file points to its own CA, which pip must not use for the registry. */
function environmentOfRegistries(): NodeJS.ProcessEnv {
  const { SSL_CERT_FILE, REQUESTS_CA_BUNDLE, ...rest } = process.env
  return rest
}
