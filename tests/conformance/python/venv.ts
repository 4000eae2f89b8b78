import { execFile } from 'node:child_process'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const VENVS = process.env.SANDLOT_TEST_VENVS ?? '/var/cache/sandlot/venvs'
const PACKAGES = ['pytest==9.2.0', 'pytest-asyncio==1.5.0', 'pytest-timeout==2.4.0']

/** 2.31.0 is what the OpenAI Agents SDK pins, 2.63.0 the newest. */
export const pythonVersions = ['2.31.0', '2.63.0']

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
