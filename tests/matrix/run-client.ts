import { join } from 'node:path'
import type { PinnedClient } from './clients.ts'
import { installOnce } from './install.ts'
import { runSteps, type Step } from './steps.ts'

const PACKAGES = {
  npm: { e2b: 'e2b', 'code-interpreter': '@e2b/code-interpreter' },
  PyPI: { e2b: 'e2b', 'code-interpreter': 'e2b-code-interpreter' },
}
const PROGRAMS = { e2b: 'program', 'code-interpreter': 'interpreter' }
const INSTALL_TIMEOUT_MS = 300_000
const PROGRAM_TIMEOUT_MS = 180_000

/** How a client addresses sandboxes: by hosts below the domain, or by one URL for all. */
export type Form = 'host' | 'url'
export const FORMS: Form[] = ['host', 'url']

/** Variables of the server's env file, with the URL of all sandboxes where the address form needs it. */
export function environmentOf(form: Form, env: Record<string, string>): NodeJS.ProcessEnv {
  const sandboxUrl = `http://sandbox.${env.E2B_DOMAIN}`
  const rest = Object.entries(process.env).filter(([name]) => !name.startsWith('E2B_'))
  return { ...Object.fromEntries(rest), ...env, ...(form === 'url' ? { E2B_SANDBOX_URL: sandboxUrl } : {}) }
}

/** Installs the client unless an earlier run did. @returns its folder */
export const install = ({ registry, package: name, version }: PinnedClient): Promise<string> =>
  installOnce({
    registry,
    name: `${registry}-${name}-${version}`,
    packages: [`${PACKAGES[registry][name]}${registry === 'npm' ? '@' : '=='}${version}`],
    timeoutMs: INSTALL_TIMEOUT_MS,
  })

/** Runs the program with the client. @returns the steps that the program reached */
export async function runProgram(
  client: PinnedClient,
  form: Form,
  env: Record<string, string>,
): Promise<Step[]> {
  const home = await install(client)
  const program = join(import.meta.dirname, PROGRAMS[client.package])
  const isNode = client.registry === 'npm'
  return runSteps(isNode ? [process.execPath, `${program}.mjs`, home] : ['python3', `${program}.py`], {
    env: {
      ...environmentOf(form, env),
      ...(isNode ? {} : { PYTHONPATH: home, PYTHONDONTWRITEBYTECODE: '1' }),
    },
    timeoutMs: PROGRAM_TIMEOUT_MS,
    last: 'kill',
  })
}
