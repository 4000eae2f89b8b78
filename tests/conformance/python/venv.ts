import { execFile } from 'node:child_process'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const VENVS = process.env.SANDLOT_TEST_VENVS ?? '/var/cache/sandlot/venvs'
const PACKAGES = ['pytest==9.2.0', 'pytest-asyncio==1.5.0', 'pytest-timeout==2.4.0']

/** 2.31.0 is what the OpenAI Agents SDK pins, 2.63.0 the newest. */
export const pythonVersions = ['2.31.0', '2.63.0']
/** 1.5.0 raises for every field that it does not know; 1.0.6 is the oldest that people have pinned. */
export const oldVersions = ['1.0.6', '1.5.0']
/**
 * Each finds out in another way why a stream ended: 2.0.0 asks again, those to 2.20 ask nobody, those from 2.31 on ask for
 * the health of the sandbox, 2.45 does so over another HTTP library, and the newest has classes of its own.
 */
export const interruptedVersions = ['2.0.0', '2.7.0', '2.20.0', '2.31.0', '2.45.0', '2.63.0']

/** Removes variables that the server's env file points to its own CA, which pip must not use for the registry. */
function environmentForPip(): NodeJS.ProcessEnv {
  const { SSL_CERT_FILE, REQUESTS_CA_BUNDLE, ...rest } = process.env
  return rest
}

/**
 * The Python of a virtual environment with that version of `e2b` and pytest, made on first use.
 * It appears by rename, so an interrupted set-up leaves nothing that a later one would mistake for complete.
 * @returns path of the interpreter
 */
export const pythonOf = (version: string): Promise<string> => pythonWith(version, [`e2b==${version}`])

/** Like `pythonOf`, with other packages besides pytest; `name` tells environments apart. */
export async function pythonWith(name: string, packages: string[]): Promise<string> {
  const home = path.join(VENVS, name)
  const python = path.join(home, 'bin/python')
  const isThere = await access(python).then(
    () => true,
    () => false,
  )
  if (isThere) return python
  const unfinished = path.join(VENVS, `.unfinished-${name}-${process.pid}`)
  await mkdir(VENVS, { recursive: true })
  try {
    await run('python3', ['-m', 'venv', unfinished], { timeout: 120_000 })
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...packages, ...PACKAGES]
    await run(path.join(unfinished, 'bin/python'), pip, { timeout: 300_000, env: environmentForPip() })
    await rename(unfinished, home)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    const madeByAnother = await access(python).then(
      () => true,
      () => false,
    )
    if (!madeByAnother) throw error
  }
  return python
}
