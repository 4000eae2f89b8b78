import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { ServerConfig } from './config/server-config.ts'
import { Gateway } from './gateway/gateway.ts'
import { AccessToken } from './http/access-token.ts'
import { HttpServer } from './http/http-server.ts'
import { serverIdentity } from './identity.ts'
import { prepare } from './install/prepare.ts'
import { Log } from './log.ts'
import type { Places } from './places.ts'
import { reasonOf } from './refusal.ts'
import { ServerConnection } from './upstream/server-connection.ts'

/** Installations at a time; more would only make each other slow. */
const MAX_STARTS = 4

/** What the daemon tells whoever started it, once. */
export type DaemonReport =
  | { kind: 'failed'; reason: string }
  | { kind: 'started'; servers: Array<{ name: string; state: string; reason: string; tools: number }> }

export interface DaemonOrder {
  places: Places
  servers: ServerConfig[]
  /** Time until the report, even if servers are still starting. */
  deadlineMs: number
}

/** Starts the gateway in this process, which serves until SIGTERM. SIGHUP makes it read its token again. */
export async function runDaemon(order: DaemonOrder, report: (report: DaemonReport) => void): Promise<void> {
  const { places } = order
  const log = new Log(places.logFile)
  const gateway = new Gateway(log)
  const token = new AccessToken(places.tokenFile)
  gateway.servers = order.servers.map((server) => connectionOf(server, gateway, places))
  const http = new HttpServer(gateway, token)
  try {
    await http.listen(places.port)
  } catch (error) {
    return report({ kind: 'failed', reason: `port ${places.port}: ${reasonOf(error)}` })
  }
  writeFileSync(places.pidFile, `${process.pid} ${startTimeOf(process.pid)}\n`)
  log.write('gateway', `listens on port ${places.port} with ${order.servers.length} servers`)

  const stop = async () => {
    log.write('gateway', 'stops')
    if (daemonPid(places) === process.pid) rmSync(places.pidFile, { force: true })
    await Promise.allSettled([gateway.stop(), http.close()])
    await log.written()
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  process.on('SIGHUP', () => {
    token.reload()
    void http.disconnectAll()
    log.write('gateway', 'has read its token again, and ended all sessions')
  })
  process.on('unhandledRejection', (error) => log.write('gateway', `unexpected: ${reasonOf(error)}`))

  await Promise.race([
    startAll(gateway.servers),
    new Promise((resolve) => setTimeout(resolve, order.deadlineMs).unref()),
  ])
  report({
    kind: 'started',
    servers: gateway.servers.map(({ name, state, reason, offers }) => ({
      name,
      state,
      reason,
      tools: offers.tools.length,
    })),
  })
}

function connectionOf(server: ServerConfig, gateway: Gateway, places: Places): ServerConnection {
  const identity = serverIdentity()
  return new ServerConnection({
    name: server.key,
    mayAskForRoots: !(server.kind === 'catalogue' && server.entry.hasFolders),
    identity,
    log: gateway.log,
    prepare: (signal) => prepare(server, places, identity, signal),
    events: gateway,
  })
}

async function startAll(servers: ServerConnection[]): Promise<void> {
  const waiting = [...servers]
  const worker = async () => {
    for (let server = waiting.shift(); server; server = waiting.shift()) await server.start()
  }
  await Promise.all(Array.from({ length: MAX_STARTS }, worker))
}

/** Returns the id of the running daemon. A process id that now is another process's is not taken for it. */
export function daemonPid(places: Places): number | undefined {
  if (!existsSync(places.pidFile)) return undefined
  const [pid, started] = readFileSync(places.pidFile, 'utf8').trim().split(' ')
  return started !== undefined && startTimeOf(Number(pid)) === started ? Number(pid) : undefined
}

/** Field 22 of /proc/<pid>/stat: clock ticks between the boot of the machine and the start of the process. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
