import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'

const repository = fileURLToPath(new URL('..', import.meta.url))
const main = join(repository, 'packages', 'sandlot', 'src', 'main.ts')
const recordViolations = pathToFileURL(join(repository, 'tests', 'record-violations.ts')).href

/**
 * Suites of several checkouts run side by side on one machine when each has a number of its own (1-8) here: other ports,
 * other homes, an eighth of each network range.
 */
export const CHECKOUT = Number(process.env.TEST_CHECKOUT ?? 0)
const suffix = CHECKOUT === 0 ? '' : `-${CHECKOUT}`
export const rangeOf = (range: string): string =>
  CHECKOUT === 0 ? range : range.replace('.0.0/16', `.${32 * (CHECKOUT - 1)}.0/19`)

/** The first start on a machine makes the base image. */
const START_TIMEOUT_MS = 20 * 60_000
const STOP_TIMEOUT_MS = 20_000
/** Taking over a sandbox fetches an image; other suites may share the processors. */
const COMMAND_TIMEOUT_MS = 300_000

export interface ServerOptions {
  /** Tells homes apart: `<tmp>/sandlot-test-<name>`. */
  name: string
  port: number
  /** A range of its own, as a server of the developer may run on the machine too. */
  networkRange: string
  /** More flags for `sandlot up`. */
  flags?: string[]
  /** More environment for it, e.g. secrets. */
  env?: Record<string, string>
  /** Checks every answer of the REST API against /openapi.json; `ServerInfo.violations` says what was found. */
  checksAnswers?: boolean
}

/** What a test needs to reach a server; plain data, so that vitest can hand it to workers. */
export interface ServerInfo {
  home: string
  port: number
  domain: string
  /** CIDR of its sandboxes' slots. */
  networkRange: string
  pid: number
  /** Everything in `<home>/env`: E2B_API_KEY, E2B_API_URL, … */
  env: Record<string, string>
  /** URL of its database, for `openStore`. */
  store: string
  /** File with a line for each answer that is not as /openapi.json says; absent: answers are not checked. */
  violations?: string
}

/** Connection options of the official SDK for a server. */
export const connectionTo = ({ env }: ServerInfo) => ({
  apiKey: env.E2B_API_KEY,
  apiUrl: env.E2B_API_URL,
  // the calling process may not trust this server's certificates
  sandboxUrl: sandboxUrlOf(env.E2B_DOMAIN),
})

/** One origin for all sandboxes of a server, in plain HTTP; headers name the sandbox. */
export const sandboxUrlOf = (domain: string | undefined): string => `http://sandbox.${domain}`

export interface TestServer {
  info(): ServerInfo
  /** Sends SIGKILL, like a crash. Sandboxes go on running. */
  kill(): Promise<void>
  /** Sends SIGTERM and waits. @returns the exit code */
  stop(): Promise<number>
  /** Starts it again on the same home. */
  start(): Promise<void>
  /** Stops the server and removes everything of it from the machine. */
  purge(): Promise<void>
  /** The server's log since its first start. */
  log(): string
}

/** Home of the test server of this name. */
export const homeOf = (name: string): string => join(tmpdir(), `sandlot-test-${name}${suffix}`)

/** Returns a name of a server whose home would have the short name of another server, as their paths have one hash. */
export function nameOfSameHash(name: string): string {
  const hashOf = (one: string) => createHash('sha256').update(homeOf(one)).digest('hex').slice(0, 4)
  const wanted = hashOf(name)
  for (let number = 0; ; number++) if (hashOf(`${name}-${number}`) === wanted) return `${name}-${number}`
}

/** Starts a real server on a fresh home of its own and waits until it answers. */
export async function startServer(options: ServerOptions): Promise<TestServer> {
  const home = homeOf(options.name)
  const port = options.port + 1_000 * CHECKOUT
  const networkRange = rangeOf(options.networkRange)
  const logFile = `${home}.log`
  const violations = options.checksAnswers ? `${home}.violations` : undefined
  let child: ChildProcess | undefined

  async function purge(): Promise<void> {
    if (child) await stop()
    await sandlot(['purge', '--yes', '--home', home])
  }

  async function start(): Promise<void> {
    const log = openSync(logFile, 'a')
    const args = [
      main,
      'up',
      '--port',
      String(port),
      '--home',
      home,
      '--network-range',
      networkRange,
      // only suites that test templates of the catalogue need it (tests/global-setup.ts)
      ...['--catalog', 'none'],
      ...(options.flags ?? []),
    ]
    const preload = violations ? ['--import', recordViolations] : []
    child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ...preload, ...args], {
      stdio: ['ignore', log, log],
      env: {
        ...cleanEnvironment(),
        ...(violations && { ANSWER_VIOLATIONS: violations }),
        ...options.env,
      },
    })
    await waitUntilHealthy(child)
  }

  async function waitUntilHealthy(server: ChildProcess): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS
    while (Date.now() < deadline) {
      if (server.exitCode !== null || server.signalCode !== null) {
        throw new Error(`sandlot up ended with ${server.exitCode ?? server.signalCode}:\n${tail(logFile)}`)
      }
      const health = await fetch(`http://127.0.0.1:${port}/health`, {
        signal: AbortSignal.timeout(2000),
      }).catch(() => undefined)
      if (health?.status === 204 && Object.keys(readEnv(home)).length > 0) return
      await sleep(100)
    }
    server.kill('SIGKILL')
    throw new Error(`sandlot up did not answer within ${START_TIMEOUT_MS / 1000} s:\n${tail(logFile)}`)
  }

  async function end(signal: NodeJS.Signals): Promise<number> {
    const server = child
    if (!server) return 0
    child = undefined
    if (server.exitCode !== null || server.signalCode !== null) return server.exitCode ?? 1
    const exit = once(server, 'exit', { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) })
    server.kill(signal)
    try {
      return ((await exit)[0] as number | null) ?? 1
    } catch {
      server.kill('SIGKILL')
      throw new Error(
        `the server did not end within ${STOP_TIMEOUT_MS / 1000} s of ${signal}:\n${tail(logFile)}`,
      )
    }
  }
  const stop = () => end('SIGTERM')

  await rm(logFile, { force: true })
  if (violations) await rm(violations, { force: true })
  await mkdir(tmpdir(), { recursive: true })
  await purge()
  await start()
  return {
    info: () => {
      const env = readEnv(home)
      const store = options.env?.SANDLOT_STORE ?? `sqlite:${join(home, 'db.sqlite')}`
      const domain = env.E2B_DOMAIN ?? ''
      return { home, port, domain, networkRange, pid: child?.pid ?? 0, env, store, violations }
    },
    kill: async () => void (await end('SIGKILL')),
    stop,
    start,
    async purge() {
      await purge()
      await rm(logFile, { force: true })
      if (violations) await rm(violations, { force: true })
    },
    log: () => readFileSync(logFile, 'utf8'),
  }
}

/** Runs a command of `sandlot`. @returns its standard output @throws with its standard error */
export async function sandlot(args: string[], env: Record<string, string> = {}): Promise<string> {
  const { code, output, errors } = await runSandlot(args, env)
  if (code !== 0) throw new Error(`sandlot ${args.join(' ')} failed:\n${errors}`)
  return output
}

/** Runs a command of `sandlot`, whatever its exit code. */
export async function runSandlot(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ code: number | null; output: string; errors: string }> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...cleanEnvironment(), ...env },
    timeout: COMMAND_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => void (output += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => void (errors += chunk))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, output, errors }
}

/** Keeps settings of the developer's own server, except its cache, away from the server under test. */
const cleanEnvironment = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => name === 'SANDLOT_CACHE' || !/^(SANDLOT_|E2B_|VITEST)/.test(name),
    ),
  )

/** Reads `export NAME=value` lines; values of a test's home need no quotes. */
function readEnv(home: string): Record<string, string> {
  try {
    const lines = readFileSync(join(home, 'env'), 'utf8').matchAll(/^export ([A-Z0-9_]+)=(.*)$/gm)
    return Object.fromEntries([...lines].map((match) => [match[1]!, match[2]!]))
  } catch {
    return {}
  }
}

const tail = (file: string): string => readFileSync(file, 'utf8').split('\n').slice(-40).join('\n')
