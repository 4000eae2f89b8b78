import { existsSync, globSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Ended, runCommand } from './command.ts'
import { countGoTests, countVitestTests, failedVitestTests, type Outcome } from './outcomes.ts'
import { postgresPrograms } from './postgres/cluster.ts'
import type { Stage } from './schedule.ts'
import { FILE_TIMES_VARIABLE, type FileTime } from './slow-files.ts'

export interface TestStage extends Stage {
  timeoutMinutes: number
  /** A run of all stages leaves this one out when it could start only after so many minutes. */
  leftOutAfterMinutes?: number
  /** Its files are in the folder of tests/ with its name. */
  isLive?: boolean
  run: (run: StageRun) => Promise<StageResult>
}

/** What a stage is run with. */
export interface StageRun {
  timeoutMs: number
  isBackground?: boolean
  /** A folder for reports, removed at the end of the run. */
  reports: string
  print: (text: string) => void
}

export interface StageResult extends Outcome {
  /** How long its test files took. */
  files?: FileTime[]
  /** What failed, a line each. */
  failures?: string[]
}

const root = fileURLToPath(new URL('..', import.meta.url))
const binaries = join(root, 'node_modules', '.bin')
const goPrograms = ['envd', 'imager']
const CHROMIUM = '/usr/bin/chromium'
const MICROSOCKS = '/usr/bin/microsocks'

const environment: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${process.env.PATH}:/usr/local/go/bin`,
  ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }),
}

function command(
  file: string,
  args: string[],
  run: StageRun,
  options: { cwd?: string; isQuiet?: boolean; env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  return runCommand(file, args, {
    cwd: options.cwd ?? root,
    env: { ...environment, ...options.env },
    timeoutMs: run.timeoutMs,
    hasLowPriority: run.isBackground,
    onOutput: options.isQuiet ? undefined : run.print,
  })
}

const resultOfCheck = ({ code }: Ended): StageResult => ({
  passed: 0,
  failed: code === 0 ? 0 : 1,
  skipped: 0,
})

/** A check has no tests to count: it adds nothing when it passes and one failure when it does not. */
const check = (name: string, file: string, args: string[], options: Partial<Check> = {}): TestStage => ({
  name,
  needs: options.needs ?? [],
  timeoutMinutes: options.timeoutMinutes ?? 5,
  run: async (run) => resultOfCheck(await command(file, args, run, { cwd: options.cwd })),
})

interface Check {
  cwd: string
  needs: string[]
  timeoutMinutes: number
}

/** A script of this repository in the Node that runs this one. */
const script = (name: string, path: string, args: string[], options: Partial<Check> = {}): TestStage =>
  check(name, process.execPath, ['--disable-warning=ExperimentalWarning', join(root, path), ...args], options)

const vitest = (project: string, options: Partial<TestStage> = {}): TestStage => ({
  name: project,
  needs: [setUp.name, buildSdk.name],
  timeoutMinutes: 45,
  ...options,
  async run(run) {
    const report = join(run.reports, `${project}.json`)
    const times = join(run.reports, `${project}.times.json`)
    const reporters = ['default', 'json', join(root, 'tests', 'slow-files.ts')]
    const args = [
      'run',
      '--project',
      project,
      ...reporters.map((reporter) => `--reporter=${reporter}`),
      `--outputFile.json=${report}`,
    ]
    const env = { [FILE_TIMES_VARIABLE]: times }
    const { code } = await command(join(binaries, 'vitest'), args, run, { env })
    const json = existsSync(report) ? readFileSync(report, 'utf8') : ''
    return {
      ...countVitestTests(json, code),
      files: existsSync(times) ? JSON.parse(readFileSync(times, 'utf8')) : [],
      failures: failedVitestTests(json),
    }
  },
})

/** A suite of tests/ with a server of its own. */
const liveSuite = (suite: string, options: Partial<TestStage> = {}): TestStage =>
  vitest(suite, { ...options, isLive: true })

const goTests = (program: string): TestStage => ({
  name: `${program} (go test)`,
  needs: [setUp.name],
  timeoutMinutes: 15,
  isBackground: true,
  async run(run) {
    const cwd = join(root, 'guest', program)
    const { code, output } = await command('go', ['test', '-json', './...'], run, { cwd, isQuiet: true })
    const { outcome, failures } = countGoTests(output, code)
    run.print(failures)
    return outcome
  },
})

/** Unit tests too use what the set-up of the machine brings (nft, mkfs.erofs), on a fresh machine as well. */
const setUp = script('set-up', 'packages/sandlot/src/main.ts', ['setup'], { timeoutMinutes: 30 })

/** Tests use the SDK as it is published: built. The set-up builds it too, in the same folder, when it packs a new version. */
const buildSdk: TestStage = {
  name: 'sdk (build)',
  needs: [setUp.name],
  timeoutMinutes: 5,
  async run(run) {
    if (isSdkBuilt()) return { passed: 0, failed: 0, skipped: 0 }
    return resultOfCheck(
      await command(join(binaries, 'tsdown'), [], run, { cwd: join(root, 'packages/sdk') }),
    )
  },
}

/** Whether the built SDK is newer than everything it is built from. */
function isSdkBuilt(): boolean {
  const cwd = join(root, 'packages/sdk')
  const changedMs = (file: string) => statSync(join(cwd, file)).mtimeMs
  const sources = globSync(['src/**/*.ts', 'package.json', 'tsdown.config.ts', '../../package-lock.json'], {
    cwd,
  })
  return BUILT.every(
    (file) => existsSync(join(cwd, file)) && sources.every((source) => changedMs(source) < changedMs(file)),
  )
}
const BUILT = ['dist/index.js', 'dist/index.cjs', 'dist/index.d.ts', 'dist/index.d.cts']

/** Clients of conformance tests, installed while the set-up waits for downloads of its own. */
const pythonClients = script('python clients', 'tests/conformance/python/prepare.ts', [], {
  timeoutMinutes: 15,
})

/** Installs a Debian package with a program that tests use. apt may be called by one process at a time: `needs`. */
const debianPackage = (name: string, program: string, use: string, needs: TestStage[]): TestStage => ({
  name,
  needs: needs.map((stage) => stage.name),
  timeoutMinutes: 10,
  async run(run) {
    if (existsSync(program)) return { passed: 0, failed: 0, skipped: 0 }
    run.print(`${use}, which is missing: installing it with apt\n`)
    const install = `apt-get update -q && apt-get install -y --no-install-recommends ${name}`
    const ended = await command('sh', ['-c', install], run, { isQuiet: true })
    if (ended.code !== 0) run.print(`apt could not install it: put one at ${program}\n`)
    return resultOfCheck(ended)
  },
})

const chromium = debianPackage('chromium', CHROMIUM, "tests/browser drives Debian's Chromium", [setUp])
const microsocks = debianPackage('microsocks', MICROSOCKS, 'tests/internet has a real SOCKS5 server', [
  setUp,
  chromium,
])

/**
 * The real server for the suites on PostgreSQL, which start it on a socket of their own. The package must not start one:
 * a cluster of the system is none of a test's business.
 */
const postgresql: TestStage = {
  name: 'postgresql',
  // the set-up and the other installations call apt too, which one process at a time may do
  needs: [setUp.name, chromium.name, microsocks.name],
  timeoutMinutes: 10,
  async run(run) {
    if (postgresPrograms()) return { passed: 0, failed: 0, skipped: 0 }
    run.print("tests on PostgreSQL need Debian's package, which is missing: installing it with apt\n")
    const ended = await command('sh', ['-c', INSTALL_POSTGRESQL], run, { isQuiet: true })
    if (ended.code !== 0) run.print('apt could not install it: install the package postgresql\n')
    return resultOfCheck(ended)
  },
}
const INSTALL_POSTGRESQL = `set -e
apt-get update -q
apt-get install -y --no-install-recommends postgresql-common
sed -i '/create_main_cluster/d' /etc/postgresql-common/createcluster.conf
echo 'create_main_cluster = false' >> /etc/postgresql-common/createcluster.conf
apt-get install -y --no-install-recommends postgresql`

/**
 * In the order in which they start: a suite that drives a server uses a third of two processors. Unit tests use the rest;
 * once they have ended, a third suite does. What measures the machine runs alone, early, as nothing else can run then in
 * any case.
 */
export const stages: TestStage[] = [
  setUp,
  check('biome', join(binaries, 'biome'), ['check', '.']),
  pythonClients,
  buildSdk,
  chromium,
  microsocks,
  postgresql,
  check('types', join(binaries, 'tsc'), ['--noEmit'], { needs: [buildSdk.name] }),
  check('boundaries', join(binaries, 'depcruise'), ['--config', '.dependency-cruiser.cjs', 'packages'], {
    needs: [buildSdk.name],
  }),
  liveSuite('load', { isAlone: true }),
  liveSuite('browser', { isAlone: true, needs: [setUp.name, buildSdk.name, chromium.name] }),
  ...goPrograms.flatMap((program) => [
    check(`${program} (go vet)`, 'go', ['vet', './...'], {
      cwd: join(root, 'guest', program),
      needs: [setUp.name],
    }),
    goTests(program),
  ]),
  vitest('unit', { isBackground: true, needs: [setUp.name, buildSdk.name, microsocks.name] }),
  vitest('unit-postgres', { isBackground: true, needs: [setUp.name, buildSdk.name, postgresql.name] }),
  liveSuite('conformance', { needs: [setUp.name, buildSdk.name, pythonClients.name, microsocks.name] }),
  // both build templates of several gigabytes, which takes about 15 minutes on a new machine: one after the other, early,
  // beside suites that build small ones
  liveSuite('catalogue', {
    needs: [setUp.name, buildSdk.name, microsocks.name],
    leftOutAfterMinutes: 20,
  }),
  liveSuite('agents', { needs: [setUp.name, buildSdk.name, chromium.name], leftOutAfterMinutes: 24 }),
  liveSuite('hostile', { needs: [setUp.name, buildSdk.name, microsocks.name] }),
  liveSuite('e2e', { needs: [setUp.name, buildSdk.name, postgresql.name] }),
  // includes PostgreSQL that is killed
  liveSuite('chaos', { needs: [setUp.name, buildSdk.name, postgresql.name] }),
]

/** Suites without a test file: a wrong path must not pass as "nothing failed". */
export const emptySuites = (): string[] =>
  stages
    .filter(
      ({ isLive, name }) => isLive && globSync(`tests/${name}/**/*.test.ts`, { cwd: root }).length === 0,
    )
    .map(({ name }) => name)
