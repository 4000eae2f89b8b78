import type { ConnectionOpts } from 'e2b'
import packageJson from '../../package.json' with { type: 'json' }
import { Failure } from '../failure.ts'
import { importSdk, type Sdk } from './sdk.ts'
import { defaultTeam, listTeams } from './teams.ts'
import { readConfig } from './user-config.ts'

export interface Connection {
  sdk: Sdk
  /** Options for every call of the SDK. */
  opts: ConnectionOpts
}

/**
 * Provides the SDK with the credentials of this machine: E2B_API_KEY, else E2B_ACCESS_TOKEN (its default project's
 * key), else what `e2b auth login` saved, else the server on this machine that the SDK finds.
 *
 * @throws Failure without any credentials
 */
export async function connect(env: NodeJS.ProcessEnv = process.env): Promise<Connection> {
  const [sdk, apiKey] = await Promise.all([importSdk(), findApiKey(env)])
  sdk.ConnectionConfig.setIntegration(`e2b-cli/${packageJson.version}`)
  const opts: ConnectionOpts = apiKey ? { apiKey } : {}
  if (!apiKey && env.E2B_DEBUG !== 'true' && !new sdk.ConnectionConfig().apiKey) {
    throw new Failure(
      'You must be logged in to use this command. Run `e2b auth login`, or set E2B_API_KEY (in CI, for example).',
    )
  }
  return { sdk, opts }
}

async function findApiKey(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  if (env.E2B_API_KEY) return env.E2B_API_KEY
  if (env.E2B_ACCESS_TOKEN) return defaultTeam(await listTeams(env.E2B_ACCESS_TOKEN)).apiKey
  return readConfig()?.projectApiKey
}
