import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { Failure } from '../failure.ts'

/** Saved login: the config file of the official CLI, version 2 (wire spec 9). */
export interface UserConfig {
  version: 2
  identity: { email: string }
  oauth?: { token_endpoint: string; revoke_endpoint: string; client_id: string }
  tokens?: { access_token: string; refresh_token: string }
  /** ISO 8601 */
  last_refresh?: string
  projectName?: string
  projectId?: string
  projectApiKey?: string
  dockerProxySet?: boolean
}

export const configPath = (home = homedir()): string => join(home, '.e2b', 'config.json')

/** @returns undefined without a login. @throws Failure when the file is damaged */
export function readConfig(path = configPath()): UserConfig | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Failure(`Cannot read ${path}: ${(error as Error).message}`, { cause: error })
  }
  try {
    return migrateConfig(JSON.parse(text))
  } catch (error) {
    throw new Failure(`${path} is damaged. Remove it and run \`e2b auth login\`.`, { cause: error })
  }
}

/** Writes the file by rename, readable by the owner only, as it contains a key and tokens. */
export function writeConfig(config: UserConfig, path = configPath()): void {
  const directory = dirname(path)
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  chmodSync(directory, 0o700)
  const scratch = `${path}.${process.pid}`
  writeFileSync(scratch, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600 })
  renameSync(scratch, path)
}

export const removeConfig = (path = configPath()): void => rmSync(path, { force: true })

type Json = Record<string, unknown>

/** Converts version 1, which said team instead of project and had email and token at the top level. */
export function migrateConfig(value: unknown): UserConfig {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('not an object')
  const { teamName, teamId, teamApiKey, email, version: _, ...rest } = value as Json
  const identity = (rest.identity ?? { email: email ?? '' }) as UserConfig['identity']
  const own = {
    projectName: rest.projectName ?? teamName,
    projectId: rest.projectId ?? teamId,
    projectApiKey: rest.projectApiKey ?? teamApiKey,
  }
  const config = { ...rest, ...definedOf(own), identity, version: 2 } as UserConfig
  for (const [name, field] of Object.entries(own)) {
    if (field !== undefined && typeof field !== 'string') throw new TypeError(`${name} is not a text`)
  }
  if (typeof config.identity?.email !== 'string') throw new TypeError('identity.email is not a text')
  return config
}

const definedOf = (fields: Json): Json =>
  Object.fromEntries(Object.entries(fields).filter(([, field]) => field !== undefined))
