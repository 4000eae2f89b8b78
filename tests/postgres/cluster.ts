import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { chown, mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

const VERSIONS_FOLDER = '/usr/lib/postgresql'
const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 30_000
/** PostgreSQL refuses to run as root; Debian's package makes this user. */
const USER = 'postgres'

export interface ClusterOptions {
  /** Keeps what was committed when the machine, not only PostgreSQL, dies. Default false: tests are faster. */
  isDurable?: boolean
}

/** A PostgreSQL server of a test run: Debian's programs, data and socket in a folder of their own. */
export interface Cluster {
  /** Of a database on it, which need not exist. */
  url(database: string): string
  start(): Promise<void>
  /** SIGKILL: nothing is shut down, and every connection breaks. */
  kill(): Promise<void>
  /** Runs SQL in a database, beside the server under test. @returns rows as text, columns separated by `|` */
  query(database: string, statement: string): Promise<string[]>
  /** Ends it and removes its data. */
  remove(): Promise<void>
}

/** Folder of the newest version that is installed. */
export function postgresPrograms(): string | undefined {
  if (!existsSync(VERSIONS_FOLDER)) return undefined
  const versions = readdirSync(VERSIONS_FOLDER).sort((a, b) => Number(b) - Number(a))
  return versions
    .map((version) => join(VERSIONS_FOLDER, version, 'bin'))
    .find((dir) => existsSync(join(dir, 'postgres')))
}

/** Makes and starts a cluster, on a Unix socket only. */
export async function startCluster({ isDurable = false }: ClusterOptions = {}): Promise<Cluster> {
  const programs = postgresPrograms()
  if (!programs) throw new Error('PostgreSQL is not installed: run `npm test -- postgresql`')
  // short: the path of a socket has at most 107 bytes
  const folder = await mkdtemp('/tmp/sandlot-pg-')
  const { uid, gid } = await idsOf(USER)
  const isRoot = process.getuid?.() === 0
  if (isRoot) await chown(folder, uid, gid)
  const identity = isRoot ? { uid, gid } : {}
  const data = join(folder, 'data')
  await run(
    join(programs, 'initdb'),
    ['-D', data, '-A', 'trust', '-U', 'sandlot', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync'],
    { ...identity, cwd: folder, timeout: START_TIMEOUT_MS },
  )
  const unsafe = ['fsync', 'synchronous_commit', 'full_page_writes'].flatMap((name) => ['-c', `${name}=off`])
  const settings = ['-k', folder, '-c', 'listen_addresses=', '-c', 'max_connections=400']
  let server: ReturnType<typeof spawn> | undefined

  const url = (database: string) => `postgres://sandlot@/${database}?host=${folder}`
  const query = async (database: string, statement: string) => {
    const { stdout } = await run(
      join(programs, 'psql'),
      ['-X', '-A', '-t', '-c', statement, '-d', url(database)],
      {
        cwd: folder,
        timeout: START_TIMEOUT_MS,
      },
    )
    return stdout.split('\n').filter(Boolean)
  }
  async function start(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS
    for (;;) {
      // after a kill it ends at once while a process of the former one still holds the shared memory
      if (!server || server.exitCode !== null)
        server = spawn(join(programs!, 'postgres'), ['-D', data, ...settings, ...(isDurable ? [] : unsafe)], {
          ...identity,
          cwd: folder,
          stdio: 'ignore',
        })
      if (
        await query('postgres', 'select 1').then(
          () => true,
          () => false,
        )
      )
        return
      if (Date.now() > deadline) throw new Error('postgres did not start in time')
      await sleep(50)
    }
  }
  async function end(signal: NodeJS.Signals): Promise<void> {
    const running = server
    server = undefined
    if (!running || running.exitCode !== null || running.signalCode !== null) return
    const exit = once(running, 'exit', { signal: AbortSignal.timeout(STOP_TIMEOUT_MS) })
    running.kill(signal)
    await exit
  }
  await start()
  return {
    url,
    start,
    query,
    kill: () => end('SIGKILL'),
    async remove() {
      await end('SIGINT')
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function idsOf(user: string): Promise<{ uid: number; gid: number }> {
  const line = (await readFile('/etc/passwd', 'utf8'))
    .split('\n')
    .find((entry) => entry.startsWith(`${user}:`))
  const [, , uid, gid] = line?.split(':') ?? []
  if (uid === undefined || gid === undefined)
    throw new Error(`there is no user ${user}: install Debian's postgresql`)
  return { uid: Number(uid), gid: Number(gid) }
}
