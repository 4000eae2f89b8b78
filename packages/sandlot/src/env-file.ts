import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeAtomically } from './write-atomically.ts'

export interface ClientEnvironment {
  apiKey: string
  port: number
  /** Port of the listener for sandboxes only, if there is one. */
  sandboxPort?: number
  domain: string
  caBundle: string
}

export const envFilePath = (home: string): string => join(home, 'env')

/**
 * Variables that direct the official clients to this server (wire spec, section 1.1). Without E2B_SANDBOX_URL all
 * versions of the clients reach each sandbox at its own host name (docs/adr/0018).
 */
export function clientVariables({
  apiKey,
  port,
  sandboxPort,
  domain,
  caBundle,
}: ClientEnvironment): Record<string, string> {
  return {
    E2B_API_KEY: apiKey,
    E2B_API_URL: `http://localhost:${port}`,
    ...(sandboxPort !== undefined && { E2B_SANDBOX_URL: `http://localhost:${sandboxPort}` }),
    E2B_DOMAIN: domain,
    NODE_EXTRA_CA_CERTS: caBundle,
    DENO_CERT: caBundle,
    SSL_CERT_FILE: caBundle,
    REQUESTS_CA_BUNDLE: caBundle,
  }
}

/** Writes `<home>/env` for `source` in any POSIX shell. Only the owner can read the file, as it contains a key. */
export function writeEnvFile(home: string, environment: ClientEnvironment): Record<string, string> {
  const variables = clientVariables(environment)
  // A shell may still have the variable from an earlier file, where its value was the URL of the API.
  const unset = variables.E2B_SANDBOX_URL === undefined ? 'unset E2B_SANDBOX_URL\n' : ''
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${quote(value)}`)
  writeAtomically(
    envFilePath(home),
    `# Written by sandlot up. Use it with: source ${quote(envFilePath(home))}\n${unset}${lines.join('\n')}\n`,
    0o600,
  )
  return variables
}

/** @returns undefined when the file does not exist */
export function readEnvFile(home: string): Record<string, string> | undefined {
  let content: string
  try {
    content = readFileSync(envFilePath(home), 'utf8')
  } catch {
    return undefined
  }
  const variables: Record<string, string> = {}
  for (const line of content.split('\n')) {
    const match = /^export ([A-Z0-9_]+)=(.*)$/.exec(line)
    if (match) variables[match[1]!] = unquote(match[2]!)
  }
  return variables
}

const quote = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`
const unquote = (text: string): string =>
  text.startsWith("'") ? text.slice(1, -1).replaceAll(`'\\''`, "'") : text
