import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAddressRange } from '@sandlot/node/network/address-range'
import { nearest, SandlotError, withoutCredentials } from '@sandlot/protocol'
import { Value } from 'typebox/value'
import {
  flagOf,
  type SettingName,
  type Settings,
  settingNames,
  settingSchemas,
  settingsSchema,
  variableOf,
} from './settings.ts'

export const repositoryRoot = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')

const HOST_CA_FOLDER = '/usr/local/share/ca-certificates'

export interface Config {
  settings: Settings
  /** Source of each value, for users: `--listen`, `SANDLOT_HOME`, `default` or a file. */
  sources: Record<SettingName, string>
  /** Likely mistakes that do not prevent a start. */
  warnings: string[]
  /** Host and port of the setting `listen`. */
  listen: ListenAddress
  /** Host and port of the setting `sandboxListen`, when it is set. */
  sandboxListen?: ListenAddress
}

export interface ListenAddress {
  /** Hosts to bind; both families for loopback, as libnss-myhostname answers `::1` first. */
  hosts: string[]
  port: number
}

export interface ConfigInputs {
  /** Flags of the command line, by setting name. */
  flags?: Partial<Record<SettingName, unknown>>
  env?: NodeJS.ProcessEnv
  /** Default: `SANDLOT_CONFIG`, else `<repo>/sandlot.config.json`. */
  file?: string
}

interface Sourced {
  value: unknown
  source: string
}

/**
 * Loads the configuration: flags override the environment, which overrides the file, which overrides the defaults.
 * @throws SandlotError invalid_request that names the setting, the value, its source and the allowed values
 */
export function loadConfig({ flags = {}, env = process.env, file }: ConfigInputs = {}): Config {
  const path = resolve(file ?? env.SANDLOT_CONFIG ?? join(repositoryRoot, 'sandlot.config.json'))
  const fromFile = readConfigFile(path, file !== undefined || env.SANDLOT_CONFIG !== undefined)
  const settings: Record<string, unknown> = {}
  const sources = {} as Record<SettingName, string>

  const pick = (name: SettingName): Sourced => {
    if (flags[name] !== undefined) return { value: flags[name], source: flagOf(name) }
    const variable = env[variableOf(name)]
    if (variable !== undefined && variable !== '') return { value: variable, source: variableOf(name) }
    if (fromFile[name] !== undefined) return { value: fromFile[name], source: path }
    return { value: settingSchemas[name].default ?? machineDefault(name, settings), source: 'default' }
  }
  for (const name of settingNames) {
    const { value, source } = pick(name)
    settings[name] = check(name, value, source)
    sources[name] = source
  }
  const checked = settings as Settings
  const listen = parseListen('listen', checked.listen, sources.listen)
  const sandboxListen =
    checked.sandboxListen === ''
      ? undefined
      : parseListen('sandboxListen', checked.sandboxListen, sources.sandboxListen)
  if (sandboxListen?.port === listen.port) {
    throw invalid(
      'sandboxListen',
      checked.sandboxListen,
      sources.sandboxListen,
      `host:port with another port than listen (${listen.port})`,
    )
  }
  checkTogether(checked, sources)
  return { settings: checked, sources, warnings: unknownVariables(env), listen, sandboxListen }
}

function readConfigFile(path: string, mustExist: boolean): Record<string, unknown> {
  let content: string
  try {
    content = readFileSync(path, 'utf8')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT' && !mustExist) return {}
    throw new SandlotError(
      'invalid_request',
      `cannot read the configuration ${path}: ${(cause as Error).message}`,
    )
  }
  let parsed: unknown
  try {
    parsed = JSON.parse(content)
  } catch (cause) {
    throw new SandlotError('invalid_request', `${path} is not JSON: ${withoutExcerpt(cause as Error)}`)
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new SandlotError(
      'invalid_request',
      `${path} must hold one JSON object, for example {"listen": "127.0.0.1:3000"}`,
    )
  }
  for (const key of Object.keys(parsed)) {
    if (key === '$schema' || (settingNames as string[]).includes(key)) continue
    const guess = nearest(key, settingNames)
    throw new SandlotError(
      'invalid_request',
      `unknown setting "${key}" in ${path}${guess ? `: did you mean "${guess}"?` : '. `sandlot config` lists them.'}`,
    )
  }
  return parsed as Record<string, unknown>
}

/** `JSON.parse` may quote what stands around a mistake, which may be a secret. */
const withoutExcerpt = ({ message }: Error): string =>
  message.replace(/, (\.{3})?".*"(\.{3})? is not valid JSON$/s, '')

const DEFAULT_POOL_MIN = 4

/** Returns a default that depends on the machine or on settings earlier in the schema. */
function machineDefault(name: SettingName, before: Record<string, unknown>): unknown {
  if (name === 'home') return join(repositoryRoot, '.sandlot')
  if (name === 'domain') return `sandlot.localhost:${String(before.listen).split(':').at(-1)}`
  if (name === 'adminEmail') return `admin@${String(before.domain).replace(/:\d+$/, '')}`
  if (name === 'extraCaCertificates') return hostCaCertificates()
  if (name === 'poolMin') return Math.min(DEFAULT_POOL_MIN, Number(before.poolMax))
  throw new Error(`setting ${name} has no default`)
}

function hostCaCertificates(): string[] {
  try {
    const names = readdirSync(HOST_CA_FOLDER).filter((name) => name.endsWith('.crt'))
    return names.sort().map((name) => join(HOST_CA_FOLDER, name))
  } catch {
    return []
  }
}

function check(name: SettingName, raw: unknown, source: string): unknown {
  const schema = settingSchemas[name]
  const value = typeof raw === 'string' ? fromText(name, raw, schema.type) : raw
  if (Value.Check(settingsSchema.properties[name], value)) return value
  throw invalid(name, raw, source, schema.expects)
}

/** Text that is printed instead of a secret. */
export const HIDDEN = '(not shown)'

function invalid(name: SettingName, value: unknown, source: string, expects: string): SandlotError {
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const shown = settingSchemas[name].isSecret ? HIDDEN : withoutCredentials(text)
  return new SandlotError(
    'invalid_request',
    `setting ${name} is "${shown}" (from ${source}); it must be ${expects}`,
  )
}

/** Converts the text of a flag or variable: expands short forms, parses numbers, booleans and lists. */
function fromText(name: SettingName, text: string, type: string | undefined): unknown {
  if (name === 'home' || name === 'cache') return resolve(text)
  if (name === 'listen' || name === 'sandboxListen') {
    if (/^:?\d+$/.test(text)) return `127.0.0.1:${text.replace(':', '')}`
    return text.replace(/^localhost:/, '127.0.0.1:')
  }
  if (type === 'integer') return /^-?\d+$/.test(text) ? Number(text) : text
  if (type === 'boolean') return { true: true, '1': true, false: false, '0': false }[text] ?? text
  if (type === 'array')
    return text
      .split(',')
      .map((item) => item.trim())
      .filter(Boolean)
  return text
}

function parseListen(name: 'listen' | 'sandboxListen', listen: string, source: string): ListenAddress {
  const colon = listen.lastIndexOf(':')
  const host = listen.slice(0, colon).replace(/^\[|\]$/g, '')
  const port = Number(listen.slice(colon + 1))
  if (port < 1 || port > 65_535) throw invalid(name, listen, source, 'host:port with a port from 1 to 65535')
  return { hosts: host === '127.0.0.1' ? ['127.0.0.1', '::1'] : [host], port }
}

/** Checks rules that concern several settings. */
function checkTogether(settings: Settings, sources: Record<SettingName, string>): void {
  const { poolMin, poolMax, slots, networkRange } = settings
  if (poolMin > poolMax) throw invalid('poolMin', poolMin, sources.poolMin, `at most poolMax (${poolMax})`)
  let room: number
  try {
    room = parseAddressRange(networkRange).slotCount
  } catch (error) {
    throw new SandlotError(
      'invalid_request',
      `${(error as Error).message} (setting networkRange, from ${sources.networkRange})`,
    )
  }
  if (slots > room) {
    throw invalid('slots', slots, sources.slots, `at most ${room}: networkRange ${networkRange} has no more`)
  }
}

function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known = [...settingNames.map(variableOf), 'SANDLOT_CONFIG']
  const unknown = Object.keys(env).filter((name) => name.startsWith('SANDLOT_') && !known.includes(name))
  return unknown.map((name) => {
    const guess = nearest(name, known)
    return `${name} is not a setting and is ignored${guess ? `: did you mean ${guess}?` : ''}`
  })
}
