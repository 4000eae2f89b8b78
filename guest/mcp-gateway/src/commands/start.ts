import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import catalogue from '../../catalogue/catalogue.json' with { type: 'json' }
import type { Catalogue } from '../catalogue/entry.ts'
import { parseConfig } from '../config/parse-config.ts'
import { type DaemonOrder, type DaemonReport, daemonPid } from '../daemon.ts'
import { storeToken } from '../http/access-token.ts'
import { Log } from '../log.ts'
import type { Places } from '../places.ts'
import { Refusal } from '../refusal.ts'

/** The SDKs wait 60 s for the command, so it answers before. */
const DEADLINE_MS = 50_000
const REPORT_TIMEOUT_MS = 57_000
const STOP_TIMEOUT_MS = 5000

/** Keeps the heap small: the gateway only passes messages on. */
const NODE_OPTIONS = ['--max-semi-space-size=1', '--optimize-for-size']

/**
 * Starts the gateway with the servers of `json`, in place of one that runs already. Returns once it answers.
 * @throws {Refusal} if the configuration is wrong, or if no server could be started; with `isStrict`, if any could not
 */
export async function start(json: string, isStrict: boolean, places: Places): Promise<string[]> {
  const { servers, warnings } = parseConfig(json, catalogue as Catalogue)
  await stopDaemon(places)
  storeToken(places.tokenFile, process.env.GATEWAY_ACCESS_TOKEN)
  mkdirSync(dirname(places.pidFile), { recursive: true })
  const log = new Log(places.logFile)
  for (const warning of warnings) log.write('gateway', warning)
  const report = await startDaemon({ places, servers, deadlineMs: DEADLINE_MS })
  if (report.kind === 'failed') {
    await stopDaemon(places)
    throw new Refusal(`the gateway did not start: ${report.reason}`)
  }
  const failed = report.servers.filter(({ state }) => state !== 'ready' && state !== 'starting')
  const reasons = failed.map(({ name, reason }) => `${name}: ${reason}`)
  if (failed.length > 0 && (isStrict || failed.length === servers.length)) {
    await stopDaemon(places)
    throw new Refusal(
      `${isStrict ? '' : 'no '}server${isStrict ? 's' : ''} could ${isStrict ? 'not ' : ''}be started\n${reasons.join('\n')}`,
    )
  }
  const starting = report.servers.filter(({ state }) => state === 'starting')
  return [...warnings, ...reasons, ...starting.map(({ name }) => `${name}: is still starting`)]
}

function startDaemon(order: DaemonOrder): Promise<DaemonReport> {
  const { GATEWAY_ACCESS_TOKEN: _, ...environment } = process.env
  const child = spawn(process.execPath, [...NODE_OPTIONS, process.argv[1]!, 'daemon'], {
    cwd: '/',
    env: environment,
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
  return new Promise<DaemonReport>((resolve) => {
    const fail = (reason: string) => resolve({ kind: 'failed', reason })
    const timer = setTimeout(() => fail('it did not report in time'), REPORT_TIMEOUT_MS)
    child.once('message', (report: DaemonReport) => {
      clearTimeout(timer)
      resolve(report)
    })
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code, signal) => fail(`it ended with ${code ?? signal}`))
    // by a message, as arguments can be seen by everyone in the sandbox
    child.send(order)
  }).finally(() => {
    if (child.connected) child.disconnect()
    child.unref()
  })
}

/** Ends the running gateway, if there is one, and waits until it has. */
async function stopDaemon(places: Places): Promise<void> {
  const started = performance.now()
  for (let pid = daemonPid(places); pid !== undefined; pid = daemonPid(places)) {
    const isLate = performance.now() - started > STOP_TIMEOUT_MS
    try {
      process.kill(pid, isLate ? 'SIGKILL' : 'SIGTERM')
    } catch {
      return
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
