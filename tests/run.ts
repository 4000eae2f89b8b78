// `npm test`: every check and every test of the repository, one summary, the last line `N passed, N failed`.
import { spawn } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countGoTests, countVitestTests, type Outcome } from './outcomes.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const binaries = join(root, 'node_modules', '.bin')
const goPrograms = ['envd', 'imager']
const reports = mkdtempSync(join(tmpdir(), 'sandlot-reports-'))
const LIVE_SUITES = ['conformance', 'e2e', 'chaos', 'hostile', 'load', 'browser', 'catalogue', 'examples']
/** A machine that cannot run everything within CI's hour skips the last suites, and says so. */
const CI_BY_MINUTES: Record<string, number> = { catalogue: 28, examples: 34 }
const goPath = `${process.env.PATH}:/usr/local/go/bin`

interface Stage {
  name: string
  timeoutMinutes: number
  run: (timeoutMs: number) => Promise<Outcome>
}

interface Ended {
  code: number
  output: string
}

/** Runs a program; its output is passed on as it arrives, and kept for runners whose tests are counted from it. */
function command(
  file: string,
  args: string[],
  timeoutMs: number,
  options: { cwd?: string; isQuiet?: boolean } = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd: options.cwd ?? root,
      // A process group of its own, so that a timeout also ends the processes that it started.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        PATH: goPath,
        ...(process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }),
      },
    })
    running = child.pid
    let output = ''
    const capture = (chunk: Buffer) => {
      output += chunk.toString()
      if (!options.isQuiet) process.stdout.write(chunk)
    }
    child.stdout.on('data', capture)
    child.stderr.on('data', capture)
    const timer = setTimeout(() => {
      process.stdout.write(`timed out after ${timeoutMs / 60_000} min\n`)
      killGroup(child.pid)
    }, timeoutMs)
    child.once('error', (error) => resolve({ code: 127, output: String(error) }))
    child.once('close', (code) => {
      clearTimeout(timer)
      running = undefined
      resolve({ code: code ?? 1, output })
    })
  })
}

let running: number | undefined

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {}
}

/** A check has no tests to count: it adds nothing when it passes, and one failure when it does not. */
const check = (name: string, file: string, args: string[], cwd?: string): Stage => ({
  name,
  timeoutMinutes: 5,
  async run(timeoutMs) {
    const { code } = await command(file, args, timeoutMs, { cwd })
    return { passed: 0, failed: code === 0 ? 0 : 1, skipped: 0 }
  },
})

const vitest = (project: string, timeoutMinutes: number): Stage => ({
  name: project,
  timeoutMinutes,
  async run(timeoutMs) {
    const report = join(reports, `${project}.json`)
    const args = [
      'run',
      '--project',
      project,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ]
    const { code } = await command(join(binaries, 'vitest'), args, timeoutMs)
    const json = existsSync(report) ? readFileSync(report, 'utf8') : ''
    return countVitestTests(json, code)
  },
})

const goTests = (program: string): Stage => ({
  name: `${program} (go test)`,
  timeoutMinutes: 15,
  async run(timeoutMs) {
    const { code, output } = await command('go', ['test', '-json', './...'], timeoutMs, {
      cwd: join(root, 'guest', program),
      isQuiet: true,
    })
    const { outcome, failures } = countGoTests(output, code)
    process.stdout.write(failures)
    return outcome
  },
})

/** The SDK is tested as it is published. */
const buildSdk = check('sdk (build)', join(binaries, 'tsdown'), [], join(root, 'packages', 'sdk'))

const CHROMIUM = '/usr/bin/chromium'
const installChromium: Stage = {
  name: 'chromium',
  timeoutMinutes: 10,
  async run(timeoutMs) {
    if (existsSync(CHROMIUM)) return { passed: 0, failed: 0, skipped: 0 }
    process.stdout.write("tests/browser drives Debian's Chromium, which is missing: installing it with apt\n")
    const install = 'apt-get update -q && apt-get install -y --no-install-recommends chromium'
    const { code } = await command('sh', ['-c', install], timeoutMs, { isQuiet: true })
    if (code === 0) return { passed: 0, failed: 0, skipped: 0 }
    process.stdout.write(`apt could not install it: put a Chromium at ${CHROMIUM}\n`)
    return { passed: 0, failed: 1, skipped: 0 }
  },
}

const hasTests = (suite: string): boolean => globSync(`tests/${suite}/**/*.test.ts`, { cwd: root }).length > 0

/** Unit tests also use programs that the set-up installs (nft, mkfs.erofs), on a fresh machine too. */
const setUp: Stage = {
  ...check('set-up', process.execPath, [
    '--disable-warning=ExperimentalWarning',
    join(root, 'packages/sandlot/src/main.ts'),
    'setup',
  ]),
  timeoutMinutes: 30,
}

const stages: Stage[] = [
  setUp,
  check('biome', join(binaries, 'biome'), ['check', '.']),
  check('types', join(binaries, 'tsc'), ['--noEmit']),
  check('boundaries', join(binaries, 'depcruise'), ['--config', '.dependency-cruiser.cjs', 'packages']),
  ...goPrograms.flatMap((program) => [
    check(`${program} (go vet)`, 'go', ['vet', './...'], join(root, 'guest', program)),
    goTests(program),
  ]),
  buildSdk,
  vitest('unit', 15),
  ...LIVE_SUITES.filter(hasTests).flatMap((suite) => [
    ...(suite === 'browser' ? [installChromium] : []),
    vitest(suite, 45),
  ]),
]

/** Stages that must run before a stage, also when only that stage was requested. */
const needs: Record<string, Stage[]> = {
  unit: [buildSdk],
  conformance: [buildSdk],
  catalogue: [buildSdk],
  examples: [buildSdk, installChromium],
  browser: [buildSdk, installChromium],
}

// `npm test -- unit e2e` runs only those stages, and what they need.
const asked = process.argv.slice(2)
const wanted = asked.flatMap((name) => [...(needs[name] ?? []).map((stage) => stage.name), name])
const unknown = wanted.filter((name) => !stages.some((stage) => stage.name === name))
if (unknown.length > 0) {
  process.stderr.write(
    `no stage "${unknown.join('", "')}". There are: ${stages.map((stage) => stage.name).join(', ')}\n`,
  )
  process.exit(2)
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    killGroup(running)
    process.exit(130)
  })
}

const rows: string[] = []
const startedMs = Date.now()
const total: Outcome = { passed: 0, failed: 0, skipped: 0 }
for (const stage of stages.filter(
  ({ name }) => wanted.length === 0 || wanted.includes(name) || name === 'set-up',
)) {
  const minutes = (Date.now() - startedMs) / 60_000
  if (process.env.CI && minutes > (CI_BY_MINUTES[stage.name] ?? Number.POSITIVE_INFINITY)) {
    rows.push(`! ${stage.name.padEnd(16)} left out: ${Math.round(minutes)} of CI's 60 minutes are over`)
    continue
  }
  process.stdout.write(`\n── ${stage.name}\n`)
  const started = Date.now()
  const outcome = await stage.run(stage.timeoutMinutes * 60_000)
  for (const kind of ['passed', 'failed', 'skipped'] as const) total[kind] += outcome[kind]
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  const counts = `${outcome.passed} passed, ${outcome.failed} failed${outcome.skipped ? `, ${outcome.skipped} skipped` : ''}`
  rows.push(`${outcome.failed === 0 ? '✓' : '✗'} ${stage.name.padEnd(16)} ${counts} (${seconds} s)`)
}
rmSync(reports, { recursive: true, force: true })
for (const suite of LIVE_SUITES.filter((name) => !hasTests(name)))
  rows.push(`! ${suite.padEnd(16)} holds no tests`)
process.stdout.write(`\n${rows.join('\n')}\n\n${total.passed} passed, ${total.failed} failed\n`)
process.exitCode = total.failed === 0 ? 0 : 1
