import { execFile } from 'node:child_process'
import { access, mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { PinnedClient } from './clients.ts'

const CLIENTS = process.env.SANDLOT_TEST_CLIENTS ?? '/var/cache/sandlot/clients'
const PACKAGES = {
  npm: { e2b: 'e2b', 'code-interpreter': '@e2b/code-interpreter' },
  PyPI: { e2b: 'e2b', 'code-interpreter': 'e2b-code-interpreter' },
}
const PROGRAMS = { e2b: 'program', 'code-interpreter': 'interpreter' }
const NPM_FLAGS = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
const PIP_FLAGS = ['--quiet', '--no-compile', '--disable-pip-version-check', '--root-user-action=ignore']
const INSTALL_TIMEOUT_MS = 300_000
const PROGRAM_TIMEOUT_MS = 180_000

/** How a client is told where sandboxes are: hosts below the domain, or one URL for all of them. */
export type Form = 'host' | 'url'
export const FORMS: Form[] = ['host', 'url']

export interface Step {
  step: string
  ok?: boolean
  /** The client has no such call. */
  absent?: boolean
  error?: string
}

/** What the server's env file gives its users, with the URL of all sandboxes where the form asks for it. */
export function environmentOf(form: Form, env: Record<string, string>): NodeJS.ProcessEnv {
  const sandboxUrl = `http://sandbox.${env.E2B_DOMAIN}`
  const rest = Object.entries(process.env).filter(([name]) => !name.startsWith('E2B_'))
  return { ...Object.fromEntries(rest), ...env, ...(form === 'url' ? { E2B_SANDBOX_URL: sandboxUrl } : {}) }
}

/** Installs the client if no earlier run did. It appears by rename, so that what is there is whole. @returns its folder */
export async function install(client: PinnedClient): Promise<string> {
  const name = `${client.registry}-${client.package}-${client.version}`
  const home = join(CLIENTS, name)
  const isThere = await access(home).then(
    () => true,
    () => false,
  )
  if (isThere) return home
  const unfinished = join(CLIENTS, `.unfinished-${name}-${process.pid}`)
  await mkdir(unfinished, { recursive: true })
  const wanted = PACKAGES[client.registry][client.package]
  const [file, ...args] =
    client.registry === 'npm'
      ? ['npm', 'install', ...NPM_FLAGS, '--prefix', unfinished, `${wanted}@${client.version}`]
      : [
          'python3',
          '-m',
          'pip',
          'install',
          ...PIP_FLAGS,
          '--target',
          unfinished,
          `${wanted}==${client.version}`,
        ]
  try {
    await promisify(execFile)(file!, args, { timeout: INSTALL_TIMEOUT_MS, env: environmentOfRegistries() })
    await rename(unfinished, home)
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true })
    throw error
  }
  return home
}

/** The server's env file names its own CA for these, which pip must not use for the registry. */
function environmentOfRegistries(): NodeJS.ProcessEnv {
  const { SSL_CERT_FILE, REQUESTS_CA_BUNDLE, ...rest } = process.env
  return rest
}

/** Runs the program with the client. @returns its steps; one that it did not come to is missing */
export async function runProgram(
  client: PinnedClient,
  form: Form,
  env: Record<string, string>,
): Promise<Step[]> {
  const home = await install(client)
  const program = join(import.meta.dirname, PROGRAMS[client.package])
  const [file, args, more] =
    client.registry === 'npm'
      ? [process.execPath, [`${program}.mjs`, home], {}]
      : ['python3', [`${program}.py`], { PYTHONPATH: home, PYTHONDONTWRITEBYTECODE: '1' }]
  const { stdout, stderr } = await promisify(execFile)(file as string, args as string[], {
    env: { ...environmentOf(form, env), ...more },
    timeout: PROGRAM_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  }).catch((error: { stdout?: string; stderr?: string }) => ({
    stdout: error.stdout ?? '',
    stderr: error.stderr ?? String(error),
  }))
  const steps = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Step)
  if (steps.at(-1)?.step !== 'kill' && !steps.some(({ ok }) => ok === false))
    steps.push({ step: 'end', ok: false, error: stderr.trim().slice(-300) || 'it ended early' })
  return steps
}
