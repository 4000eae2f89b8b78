import { SandlotError } from '@sandlot/protocol'
import type { CatalogReport } from '@sandlot/server'
import type { Config } from '../config.ts'
import { readEnvFile } from '../env-file.ts'
import { findServer, localUrl } from '../server-lock.ts'

const REQUEST_TIMEOUT_MS = 5_000
/** Long enough to first cancel a running build and end its machine. */
const CHANGE_TIMEOUT_MS = 120_000

/** Reads the state of a home's catalog. @returns undefined when no server answers */
export async function readCatalog(home: string): Promise<CatalogReport | undefined> {
  const server = findServer(home)
  const key = readEnvFile(home)?.E2B_API_KEY
  if (!server || !key) return undefined
  const response = await fetch(`${localUrl(server.listen)}/catalog`, {
    headers: { 'X-API-Key': key },
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  }).catch(() => undefined)
  return response?.ok ? ((await response.json()) as CatalogReport) : undefined
}

/** @throws SandlotError conflict when no server runs, and any error of the server */
export async function changeCatalog(
  config: Config,
  method: 'POST' | 'DELETE',
  name: string,
): Promise<unknown> {
  const { home } = config.settings
  const server = findServer(home)
  if (!server) throw new SandlotError('conflict', `no server runs on ${home}: start it with \`sandlot up\``)
  const { withKeyOfCatalog } = await import('../wiring.ts')
  return withKeyOfCatalog(config, async (key) => {
    const response = await fetch(`${localUrl(server.listen)}/catalog/${encodeURIComponent(name)}`, {
      method,
      headers: { 'X-API-Key': key },
      signal: AbortSignal.timeout(CHANGE_TIMEOUT_MS),
    })
    if (response.ok) return response.status === 202 ? undefined : response.json()
    const { message } = (await response.json()) as { message?: string }
    throw new SandlotError(
      response.status < 500 ? 'conflict' : 'internal_server_error',
      message ?? `the server answered ${response.status}`,
    )
  })
}
