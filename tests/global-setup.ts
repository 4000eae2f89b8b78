import type { TestProject } from 'vitest/node'
import { BUILD_ORDER } from './file-order.ts'
import { type InternetInfo, infoOf, openInternet, settingsFor } from './internet/internet.ts'
import { startCluster } from './postgres/cluster.ts'
import { allowedRegistries } from './registry/ports.ts'
import { type ServerInfo, startServer } from './server.ts'

declare module 'vitest' {
  interface ProvidedContext {
    /** The server that every test of this suite shares. */
    server: ServerInfo
    /** What its sandboxes take for the internet, in suites that need one. */
    internet?: InternetInfo
  }
}

/** Each suite has a port and a network range of its own, so that two suites may run concurrently. */
const SUITES = ['conformance', 'e2e', 'chaos', 'hostile', 'load', 'browser', 'catalogue', 'agents']
const SUITES_WITH_INTERNET = ['conformance', 'e2e', 'hostile', 'catalogue']
const FIRST_PORT = 13_100
const FIRST_RANGE = 190

/**
 * Starts one real server for the suite; tests get it with `inject('server')`. `info.env` is what users
 * source. Suites that kill servers start their own (`startServer`, another name and port).
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const suite = project.name
  const index = SUITES.indexOf(suite)
  const registries = allowedRegistries(suite)
  const cleanups: Array<() => Promise<unknown>> = []
  const cleanUp = async () => {
    const failures: unknown[] = []
    for (const cleanup of cleanups.reverse()) await cleanup().catch((error) => failures.push(error))
    if (failures.length > 0) throw new AggregateError(failures, `cannot clean up: ${failures.join('; ')}`)
  }
  try {
    // TEST_STORE=postgres runs a suite on PostgreSQL instead of SQLite
    const cluster = process.env.TEST_STORE === 'postgres' ? await startCluster() : undefined
    if (cluster) cleanups.push(cluster.remove)
    await cluster?.query('postgres', 'create database sandlot')
    const internet = SUITES_WITH_INTERNET.includes(suite) ? await openInternet() : undefined
    if (internet) cleanups.push(internet.close)
    project.provide('internet', internet && infoOf(internet))
    const { flags = [], env = {} } = internet ? settingsFor(internet) : {}
    const server = await startServer({
      name: suite,
      env: { ...env, ...(cluster && { SANDLOT_STORE: cluster.url('sandlot') }) },
      port: FIRST_PORT + index,
      networkRange: `10.${FIRST_RANGE + index}.0.0/16`,
      checksAnswers: suite === 'conformance',
      flags: [
        ...flags,
        '--pool-min',
        '2',
        '--pool-max',
        '8',
        '--log-level',
        'info',
        // the limit that tests/hostile/egress-floods.test.ts exceeds
        ...(suite === 'hostile' ? ['--sandbox-connections', '2500'] : []),
        ...(suite in BUILD_ORDER ? ['--catalog', BUILD_ORDER[suite]!.join(',')] : []),
        ...(registries.length > 0 ? ['--allowed-registries', registries.join(',')] : []),
      ],
    })
    cleanups.push(server.purge)
    project.provide('server', server.info())
    return cleanUp
  } catch (error) {
    await cleanUp()
    throw error
  }
}
