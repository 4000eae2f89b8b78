import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { parseAddressRange } from '@sandlot/node/network/address-range'
import { Sandbox, type SandboxOpts } from 'e2b-official'

/** Home of the server under test; `SANDLOT_HOME`, default `<repo>/.sandlot`. */
export const home =
  process.env.SANDLOT_HOME ?? join(dirname(fileURLToPath(import.meta.url)), '..', '.sandlot')

if (!existsSync(join(home, 'env')))
  throw new Error(`no server of ${home} was ever started: run \`npm start\` first`)
for (const [, name, value] of readFileSync(join(home, 'env'), 'utf8').matchAll(
  /^export ([A-Z0-9_]+)=(.*)$/gm,
))
  if (name?.startsWith('E2B_')) process.env[name] = value
// replaces NODE_EXTRA_CA_CERTS, which Node only reads when the process starts
setDefaultCACertificates([...getCACertificates('default'), readFileSync(join(home, 'ca', 'ca.pem'), 'utf8')])

/** One connection for all sandboxes, so that the server is measured and not a TLS handshake for each host name (docs/adr/0018). */
process.env.E2B_SANDBOX_URL ??= `http://sandbox.${process.env.E2B_DOMAIN}`

export const apiUrl = String(process.env.E2B_API_URL)
export const apiHeaders = { 'x-api-key': String(process.env.E2B_API_KEY), 'content-type': 'application/json' }

/** Returns the machine of a sandbox, which may be paused. */
export function machineOf(sandboxId: string): string {
  const database = new DatabaseSync(join(home, 'db.sqlite'), { readOnly: true })
  const row = database.prepare('select machine_id from sandboxes where id = ?').get(sandboxId)
  database.close()
  return String(row?.machine_id)
}

/** Returns the address of a sandbox's machine, which bypasses API and edge. */
export function addressOf(sandboxId: string): string {
  const record = JSON.parse(
    readFileSync(join(home, 'run/machines', machineOf(sandboxId), 'machine.json'), 'utf8'),
  )
  return parseAddressRange(process.env.SANDLOT_NETWORK_RANGE ?? '10.177.0.0/16').slot(record.slot).sandbox
}

const machinesDir = join(home, 'run/machines')

/** Counts the warm machines. */
export const warmCount = (): number =>
  readdirSync(machinesDir).filter((id) => existsSync(join(machinesDir, id, 'warm'))).length

/**
 * Waits until the warm pool has not changed for 3 s, at most 60 s, because refills use processors that a baseline needs.
 */
export async function stockAtRest(): Promise<void> {
  const deadline = performance.now() + 60_000
  let last = -1
  for (let still = 0; still < 6; ) {
    if (performance.now() > deadline) throw new Error('the warm pool keeps changing')
    const now = warmCount()
    still = now === last ? still + 1 : 0
    last = now
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** The checkpoint that the server restores from. */
export function checkpointDir(): string {
  const warm = readdirSync(machinesDir).find((id) => existsSync(join(machinesDir, id, 'warm')))
  const record = JSON.parse(readFileSync(join(machinesDir, String(warm), 'machine.json'), 'utf8'))
  return join(home, 'builds', record.buildId)
}

/** Metadata that marks the sandboxes of this run, as the server may have other users. */
export const metadata = { bench: randomUUID() }

export const createSandbox = (options: SandboxOpts = {}): Promise<Sandbox> =>
  Sandbox.create({ ...options, metadata })

/** Kills the sandboxes of this run, and no others. */
export async function killAll(): Promise<void> {
  const paginator = Sandbox.list({ limit: 100, query: { metadata } })
  while (paginator.hasNext)
    await Promise.all((await paginator.nextItems()).map(({ sandboxId }) => Sandbox.kill(sandboxId)))
}

/** Runs a command through envd at `base` as the SDK does, and reads its stream to the end. */
export async function runOver(base: string, command: string, headers: Record<string, string>): Promise<void> {
  const message = Buffer.from(
    JSON.stringify({ process: { cmd: '/bin/bash', args: ['-l', '-c', command] }, stdin: false }),
  )
  const envelope = Buffer.alloc(5)
  envelope.writeUInt32BE(message.length, 1)
  const response = await fetch(`${base}/process.Process/Start`, {
    method: 'POST',
    headers: { 'content-type': 'application/connect+json', 'connect-protocol-version': '1', ...headers },
    body: Buffer.concat([envelope, message]),
    signal: AbortSignal.timeout(30_000),
  })
  const answer = Buffer.from(await response.arrayBuffer()).toString('latin1')
  if (!answer.includes('"exited":true'))
    throw new Error(`the command failed: ${response.status} ${answer.slice(0, 300)}`)
}

export async function onExit(): Promise<void> {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void killAll().finally(() => process.exit(1)))
}
