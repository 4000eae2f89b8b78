import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { installOnce } from '../matrix/install.ts'
import { environmentOf } from '../matrix/run-client.ts'
import { runSteps, type Step } from '../matrix/steps.ts'
import type { ThirdParty } from './programs.ts'

const INSTALL_TIMEOUT_MS = 600_000
const PROGRAM_TIMEOUT_MS = 500_000

/** Installs the package with a Python that it supports. @returns its folder */
export async function installThirdParty(program: ThirdParty): Promise<string> {
  const { registry, package: name, version, python } = program
  return installOnce({
    registry,
    name: `program-${name.replace('/', '-')}-${version}`,
    packages: program.packages ?? [`${name}${registry === 'npm' ? '@' : '=='}${version}`],
    python: await pythonFrom(python),
    timeoutMs: INSTALL_TIMEOUT_MS,
  })
}

/** Runs the program of the package by host, as `<home>/env` is. */
export async function runThirdParty(program: ThirdParty, env: Record<string, string>): Promise<Step[]> {
  const folder = await installThirdParty(program)
  const file = join(import.meta.dirname, program.program)
  // several packages write into the home directory of their user
  const home = await mkdtemp(join(tmpdir(), 'sandlot-program-'))
  const isNode = program.registry === 'npm'
  const command = isNode ? [process.execPath, file, folder] : [await pythonFrom(program.python), file]
  try {
    return await runSteps(command, {
      env: {
        ...environmentOf('host', env),
        HOME: home,
        TMPDIR: home,
        ...(isNode ? {} : { PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' }),
      },
      timeoutMs: PROGRAM_TIMEOUT_MS,
    })
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

/** Reads the version of `e2b` that was installed with the package. */
export async function e2bOf(program: ThirdParty): Promise<string> {
  const folder = await installThirdParty(program)
  if (program.registry === 'npm')
    return JSON.parse(await readFile(join(folder, 'node_modules/e2b/package.json'), 'utf8')).version
  const names = await readdir(folder)
  return names.map((name) => /^e2b-([\d.]+)\.dist-info$/.exec(name)?.[1]).find(Boolean) ?? 'none'
}

/** Finds a Python of at least that version: the machine's, or one of pyenv's. */
async function pythonFrom(version: string | undefined): Promise<string> {
  if (!version) return 'python3'
  const versions = join(process.env.PYENV_ROOT ?? join(homedir(), '.pyenv'), 'versions')
  const ofPyenv = (await readdir(versions).catch(() => [])).map((name) => join(versions, name, 'bin/python3'))
  for (const python of ['python3', ...ofPyenv.sort()]) {
    const [major, minor] = version.split('.')
    const check = `import sys; sys.exit(sys.version_info < (${major}, ${minor}))`
    const isNewEnough = await promisify(execFile)(python, ['-c', check]).then(
      () => true,
      () => false,
    )
    if (isNewEnough) return python
  }
  throw new Error(
    `it needs Python ${version}, and this machine has none: install one as python3 or with pyenv`,
  )
}
