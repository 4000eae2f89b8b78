import { createHash } from 'node:crypto'
import { SandlotError } from '@sandlot/protocol'
import type { BuildEnvironment, BuildStep } from '@sandlot/protocol/node'
import type { LoginCommand } from '../guest/login-command.ts'

export const INITIAL_ENVIRONMENT: BuildEnvironment = { defaultUser: 'user', envVars: {} }

/** Derives the key of a step's layer: equal steps on equal parents share a layer. */
export function layerKey(parentKey: string, step: BuildStep): string {
  const { force: _, ...content } = step
  return digest([parentKey, content])
}

export const digest = (value: unknown): string =>
  createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 40)

/** Formats a step for the log, e.g. `RUN npm ci` or `COPY src/ /app`. */
export function describeStep(step: BuildStep): string {
  switch (step.type) {
    case 'RUN':
      return `RUN ${step.command}`
    case 'COPY':
      return `COPY ${step.source} ${step.target}`
    case 'ENV':
      return `ENV ${step.values.map(([name, value]) => `${name}=${value}`).join(' ')}`
    case 'WORKDIR':
      return `WORKDIR ${step.path}`
    case 'USER':
      return `USER ${step.user}`
  }
}

/**
 * Names the services that a template has because its steps ask for them. The packages of an SSH server are in every image,
 * so their installation enables nothing; guides rely on that server without starting it.
 */
export const servicesOf = (steps: readonly BuildStep[]): string[] =>
  steps.some((step) => step.type === 'RUN' && /\binstall\b.*\bopenssh-server\b/s.test(step.command))
    ? ['ssh']
    : []

/** Whether a step only changes the environment of later steps, and needs no machine or layer. */
export const isDeclaration = (step: BuildStep): boolean => step.type === 'ENV'

/** Computes the environment after a step. */
export function environmentAfter(environment: BuildEnvironment, step: BuildStep): BuildEnvironment {
  switch (step.type) {
    case 'ENV': {
      const envVars = { ...environment.envVars }
      for (const [name, value] of step.values) envVars[name] = expand(value, { ...environment, envVars })
      checkEnvironment(envVars)
      return { ...environment, envVars }
    }
    case 'WORKDIR':
      return { ...environment, defaultWorkdir: resolveIn(environment, step.path) }
    case 'USER':
      return { ...environment, defaultUser: step.user }
    default:
      return environment
  }
}

export const homeOf = (user: string): string => (user === 'root' ? '/root' : `/home/${user}`)

/** Returns the login command that runs a start or ready command, in the build and later. */
export const commandIn = (
  { defaultUser, defaultWorkdir, envVars }: BuildEnvironment,
  command: string,
): LoginCommand => ({ command, user: defaultUser, cwd: defaultWorkdir, envs: envVars })

/** Resolves a path from the working directory, else from the user's home. */
export function resolveIn({ defaultUser, defaultWorkdir }: BuildEnvironment, path: string): string {
  const from = defaultWorkdir ?? homeOf(defaultUser)
  const expanded = path === '~' || path.startsWith('~/') ? homeOf(defaultUser) + path.slice(1) : path
  const absolute = expanded.startsWith('/') ? expanded : `${from}/${expanded}`
  const parts: string[] = []
  for (const part of absolute.split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '' && part !== '.') parts.push(part)
  }
  return `/${parts.join('/')}`
}

const VARIABLE = /\\(\$)|\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])([^}]*))?\})/g
/** Used for text without a `}`, where each `${` would be searched to the end, in quadratic time. */
const UNBRACED_VARIABLE = /\\(\$)|\$([A-Za-z_]\w*)/g
const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** Limits the total size, because values can double each other, and every sandbox of the template gets all of them. */
const MAX_ENVIRONMENT_BYTES = 64 * 1024
/** Limits the number, because each step that sets a variable copies all. */
const MAX_VARIABLES = 1_000

/** @throws SandlotError invalid_request */
export function checkEnvironment(envVars: Record<string, string>): void {
  const count = Object.keys(envVars).length
  if (count > MAX_VARIABLES)
    throw new SandlotError(
      'invalid_request',
      `the environment would have ${count} variables, at most ${MAX_VARIABLES} are allowed`,
    )
  let bytes = 0
  for (const [name, value] of Object.entries(envVars))
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  if (bytes > MAX_ENVIRONMENT_BYTES) throw tooLarge(bytes)
}

const tooLarge = (bytes: number): SandlotError =>
  new SandlotError(
    'invalid_request',
    `the environment would have ${bytes} bytes, at most ${MAX_ENVIRONMENT_BYTES} (64 KiB) are allowed`,
  )

/** Expands `$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+other}` and `\$`; everything else, e.g. `$(…)`, is kept. */
export function expand(value: string, { defaultUser, envVars }: BuildEnvironment): string {
  const defaults: Record<string, string> = {
    PATH: DEFAULT_PATH,
    HOME: homeOf(defaultUser),
    USER: defaultUser,
  }
  // copying all variables for each value would take quadratic time
  const setTo = (name: string): string | undefined => {
    if (Object.hasOwn(envVars, name)) return envVars[name]
    return Object.hasOwn(defaults, name) ? defaults[name] : undefined
  }
  let bytes = 0
  const counted = (text: string): string => {
    bytes += text.length
    if (bytes > MAX_ENVIRONMENT_BYTES) throw tooLarge(bytes)
    return text
  }
  const lookUp = (name: string) => counted(setTo(name) ?? '')
  const lastBrace = value.lastIndexOf('}') + 1
  const head = value
    .slice(0, lastBrace)
    .replace(VARIABLE, (_, escaped, plain, braced, operator, word = '') => {
      if (escaped) return '$'
      const name = (plain ?? braced) as string
      const found = setTo(name)
      const isSet = found !== undefined && (found !== '' || !operator?.startsWith(':'))
      if (operator?.endsWith('-')) return counted(isSet ? found : word)
      if (operator?.endsWith('+')) return isSet ? word : ''
      return lookUp(name)
    })
  const rest = value.slice(lastBrace)
  return head + rest.replace(UNBRACED_VARIABLE, (_, escaped, plain) => (escaped ? '$' : lookUp(plain)))
}
