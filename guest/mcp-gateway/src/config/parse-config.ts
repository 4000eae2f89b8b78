import type { Catalogue, CatalogueEntry } from '../catalogue/entry.ts'
import { Refusal } from '../refusal.ts'
import type { OptionValue, ServerConfig } from './server-config.ts'

const MAX_SERVERS = 64
const MAX_CONFIG_CHARACTERS = 1024 * 1024

/**
 * Reads the JSON of `--config`. A missing required option is not refused, because E2B's documentation leaves some out;
 * `warnings` says which.
 * @throws {Refusal} for JSON that is not an object, an unknown server or option, and a value of a wrong type
 */
export function parseConfig(
  json: string,
  catalogue: Catalogue,
): { servers: ServerConfig[]; warnings: string[] } {
  if (json.length > MAX_CONFIG_CHARACTERS) {
    throw new Refusal(
      `the configuration has ${json.length} characters; at most ${MAX_CONFIG_CHARACTERS} are allowed`,
    )
  }
  let config: unknown
  try {
    config = JSON.parse(json)
  } catch (error) {
    throw new Refusal(`the configuration is not JSON: ${(error as Error).message}`)
  }
  if (!isRecord(config)) {
    throw new Refusal('the configuration must be an object such as {"filesystem": {"paths": ["/home/user"]}}')
  }
  const entries = Object.entries(config)
  if (entries.length > MAX_SERVERS) {
    throw new Refusal(`the configuration has ${entries.length} servers; at most ${MAX_SERVERS} are allowed`)
  }
  const warnings: string[] = []
  const servers = entries.map(([key, value]) =>
    key.startsWith('github/') ? parseGithub(key, value) : parseEntry(key, value, catalogue, warnings),
  )
  return { servers, warnings }
}

/**
 * Returns the entry of a server's name.
 * @throws {Refusal} if there is none; the message has similar names
 */
export function entryOf(key: string, catalogue: Catalogue): CatalogueEntry {
  if (Object.hasOwn(catalogue, key)) return catalogue[key]!
  const plain = (name: string) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
  const similar = Object.keys(catalogue).filter(
    (name) =>
      plain(name).includes(plain(key)) || (plain(name).length > 3 && plain(key).includes(plain(name))),
  )
  const hint = similar.length > 0 ? `did you mean ${similar.slice(0, 5).join(', ')}? ` : ''
  throw new Refusal(
    `there is no MCP server '${key}': ${hint}\`mcp-gateway list\` has all names, and 'github/<owner>/<repository>' runs any public project`,
  )
}

function parseEntry(key: string, value: unknown, catalogue: Catalogue, warnings: string[]): ServerConfig {
  const entry = entryOf(key, catalogue)
  const given = value ?? {}
  if (!isRecord(given))
    throw new Refusal(`the options of '${key}' must be an object, but are ${describe(given)}`)
  const options: Record<string, OptionValue> = {}
  for (const [name, option] of Object.entries(given)) {
    if (!Object.hasOwn(entry.options, name)) {
      const known = Object.keys(entry.options)
      throw new Refusal(
        `'${key}' has no option '${name}'; ${known.length > 0 ? `it has ${known.join(', ')}` : 'it has none'}`,
      )
    }
    if (option === undefined || option === null) continue
    if (!isOptionValue(option)) {
      throw new Refusal(
        `'${key}.${name}' must be a string, number, boolean or a list of these, but is ${describe(option)}`,
      )
    }
    options[name] = option
  }
  for (const [name, { required }] of Object.entries(entry.options)) {
    if (required && !Object.hasOwn(options, name))
      warnings.push(`'${key}' needs '${name}', which is not given`)
  }
  return { kind: 'catalogue', key, entry, options }
}

function parseGithub(key: string, value: unknown): ServerConfig {
  const match = /^github\/([\w.-]+)\/([\w.-]+)$/.exec(key)
  if (!match || match.slice(1).some((name) => name === '.' || name === '..')) {
    throw new Refusal(`'${key}' is not a project: 'github/<owner>/<repository>' is`)
  }
  if (!isRecord(value))
    throw new Refusal(`'${key}' must be an object with 'runCmd', but is ${describe(value)}`)
  const { runCmd, run_cmd, installCmd, install_cmd, envs = {}, ...others } = value
  const unknown = Object.keys(others)[0]
  if (unknown) throw new Refusal(`'${key}' has no option '${unknown}'; it has runCmd, installCmd and envs`)
  const runCommand = runCmd ?? run_cmd
  const installCommand = installCmd ?? install_cmd
  if (typeof runCommand !== 'string' || runCommand.trim() === '') {
    throw new Refusal(`'${key}' needs 'runCmd', the command that starts the server in the project's folder`)
  }
  if (installCommand !== undefined && typeof installCommand !== 'string') {
    throw new Refusal(`'installCmd' of '${key}' must be a string, but is ${describe(installCommand)}`)
  }
  if (!isRecord(envs) || Object.values(envs).some((env) => typeof env !== 'string')) {
    throw new Refusal(`'envs' of '${key}' must be an object of strings`)
  }
  const [, owner, repository] = match as unknown as [string, string, string]
  return {
    kind: 'github',
    key,
    owner,
    repository,
    runCommand,
    ...(installCommand !== undefined && { installCommand }),
    environment: envs as Record<string, string>,
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isScalar = (value: unknown) => ['string', 'number', 'boolean'].includes(typeof value)

const isOptionValue = (value: unknown): value is OptionValue =>
  isScalar(value) || (Array.isArray(value) && value.every(isScalar))

const describe = (value: unknown) =>
  value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`
