import { unlistedIn } from '@sandlot/node'
import { firewallFault } from '@sandlot/node/network/firewall-fault'
import type { CatalogReport } from '@sandlot/server'
import { Command } from 'commander'
import { describeCatalog, detailsOf } from '../catalog/describe.ts'
import { readCatalog } from '../catalog/server-client.ts'
import { readEnvFile } from '../env-file.ts'
import { findServer, localUrl } from '../server-lock.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'
import { describeUnlisted } from '../unlisted-report.ts'

const REQUEST_TIMEOUT_MS = 5000

export const statusCommand = (): Command =>
  addSettingFlags(new Command('status').description('show whether the server is up, and what runs on it'), [
    'home',
  ])
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
Exit code 0 when the server answers, 1 when it does not.

Examples:
  sandlot status
  sandlot status --home /srv/sandlot --json`,
    )
    .action(async (options: { json?: boolean }, command: Command) => {
      const status = await readStatus(configOf(command).settings.home)
      process.stdout.write(options.json ? `${JSON.stringify(status)}\n` : format(status))
      if (!status.isHealthy) process.exitCode = 1
    })

interface Status {
  home: string
  pid?: number
  listen?: string
  domain?: string
  /** Active server that this server waits for. */
  standbyFor?: string
  isHealthy: boolean
  sandboxes?: number
  /** Progress of the catalog. */
  catalog?: CatalogReport
  /** Data of this home that the database does not list. */
  unlisted?: string
  /** Why sandboxes are frozen. */
  firewallFault?: string
}

async function readStatus(home: string): Promise<Status> {
  const server = findServer(home)
  if (!server) return { home, isHealthy: false }
  const { pid, listen, domain, standbyFor } = server
  if (standbyFor) return { home, pid, listen, domain, standbyFor, isHealthy: false }
  const base = localUrl(listen)
  const health = await get(`${base}/health`)
  const apiKey = readEnvFile(home)?.E2B_API_KEY
  const listed = apiKey ? await get(`${base}/sandboxes`, { 'X-API-Key': apiKey }) : undefined
  const sandboxes = listed?.ok ? ((await listed.json()) as unknown[]).length : undefined
  // only root can read the table
  const fault = process.getuid?.() === 0 ? await firewallFault(home).catch(() => undefined) : undefined
  const catalog = health?.ok ? await readCatalog(home) : undefined
  const isHealthy = health?.ok ?? false
  const { checkpoints, machines } = await unlistedIn(home)
  const hasUnlisted = checkpoints.length + machines.length > 0
  const unlisted = hasUnlisted ? describeUnlisted({ checkpoints, machines }) : undefined
  return { home, pid, listen, domain, isHealthy, sandboxes, catalog, unlisted, firewallFault: fault }
}

const get = (url: string, headers: Record<string, string> = {}): Promise<Response | undefined> =>
  fetch(url, { headers, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) }).catch(() => undefined)

function format(status: Status): string {
  const { home, pid, listen, domain, standbyFor, isHealthy, sandboxes, catalog, unlisted } = status
  const { firewallFault: fault } = status
  if (pid === undefined) return `No server runs on ${home}. Start one with \`sandlot up\`.\n`
  const waiting =
    standbyFor && `standby, does not listen while ${standbyFor} is the active server of the database`
  const state = isHealthy ? 'up' : (waiting ?? 'does not answer (starting, or stuck: see its log)')
  const count = sandboxes === undefined ? '' : `sandboxes  ${sandboxes} running\n`
  const stalled = fault ? `firewall   sandboxes are frozen: ${fault}\n` : ''
  const kept = unlisted ? `unlisted   ${unlisted}\n` : ''
  const lines =
    catalog && catalog.templates.length > 0 ? [describeCatalog(catalog), ...detailsOf(catalog)] : []
  const background = lines
    .map((line, index) => `${index === 0 ? 'catalog    ' : '           '}${line}\n`)
    .join('')
  return `server     ${state}, pid ${pid}\nlisten     ${listen}\ndomain     ${domain}\nhome       ${home}\n${count}${kept}${background}${stalled}`
}
