import { builtinModule, environmentVariable } from './http/runtime.ts'
import type { Logger } from './logger.ts'

/** A Sandlot on this machine, as described by its `env` file. */
export interface LocalServer {
  envFile: string
  apiKey: string
  apiUrl: string
  sandboxUrl?: string
  domain?: string
}

export const DEFAULT_LOCAL_URL = 'http://localhost:3000'
const PROBE_TIMEOUT_MS = 1_000

/**
 * Looks for `$SANDLOT_HOME/env`, then `.sandlot/env` in the working directory. A file in the working directory may come
 * from somebody else's repository, so a file that names another machine is used only in `$SANDLOT_HOME`.
 */
export function findLocalServer(): LocalServer | undefined {
  const home = environmentVariable('SANDLOT_HOME')
  if (home) return readEnvFile(`${home}/env`)
  const found = readEnvFile('.sandlot/env')
  return found && isThisMachine(found.apiUrl) ? found : undefined
}

function readEnvFile(path: string): LocalServer | undefined {
  const fs = builtinModule<typeof import('node:fs')>('node:fs')
  let content: string
  try {
    if (!fs) return undefined
    content = fs.readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
  return parseEnvFile(content, path)
}

/** Reads the `export NAME=value` lines that `sandlot up` writes, values quoted for a POSIX shell where needed. */
export function parseEnvFile(content: string, envFile: string): LocalServer | undefined {
  const variables = new Map<string, string>()
  for (const [, name, value] of content.matchAll(/^export ([A-Z0-9_]+)=(.*)$/gm))
    variables.set(name!, value!.startsWith("'") ? value!.slice(1, -1).replaceAll(`'\\''`, "'") : value!)
  const apiKey = variables.get('E2B_API_KEY')
  const apiUrl = variables.get('E2B_API_URL')
  if (!apiKey || !apiUrl) return undefined
  return {
    envFile,
    apiKey,
    apiUrl,
    sandboxUrl: variables.get('E2B_SANDBOX_URL') ?? sharedUrl(apiUrl),
    domain: variables.get('E2B_DOMAIN'),
  }
}

/**
 * URL at which a server on this machine serves all its sandboxes over plain HTTP. The host of a single sandbox uses
 * TLS, and a process that has not sourced the file does not trust the server's certificates.
 */
function sharedUrl(apiUrl: string): string | undefined {
  return isThisMachine(apiUrl) ? `http://sandbox.localhost:${new URL(apiUrl).port || 80}` : undefined
}

function isThisMachine(url: string): boolean {
  try {
    return /^(localhost|.+\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(new URL(url).hostname)
  } catch {
    return false
  }
}

let isAnnounced = false

/**
 * Announces the server once per process, to the logger or else to stderr, because the caller did not name this
 * server.
 */
export function announceLocalServer({ apiUrl, envFile }: LocalServer, logger?: Logger): void {
  if (isAnnounced) return
  isAnnounced = true
  const message = `e2b: E2B_API_KEY is not set, using the Sandlot on this machine: ${apiUrl} (${envFile})`
  if (logger) logger.info?.(message)
  else console.error(message)
}

/** Says what to do about a missing key, and names the server at localhost:3000 when one answers there. */
export async function missingKeyHint(): Promise<string> {
  const health = await fetch(`${DEFAULT_LOCAL_URL}/health`, {
    signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
  }).catch(() => undefined)
  if (health?.status === 204)
    return `A server answers at ${DEFAULT_LOCAL_URL}; take its key with: source <folder of the server>/.sandlot/env`
  return 'With a Sandlot on this machine: source <folder of the server>/.sandlot/env'
}
