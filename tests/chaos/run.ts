// `npm run chaos`: the seeded sample of the chaos suite; `npm run chaos -- --full`: all of it, its result under bench/results.
// `npm run chaos -- --full persistence-damage` runs that file alone and replaces its part of the result.
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { machine } from '../../bench/stats.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const results = join(root, 'bench', 'results')
const known = ['--full']
const args = process.argv.slice(2)
const unknown = args.filter((arg) => arg.startsWith('-') && !known.includes(arg))
if (unknown.length > 0) {
  process.stderr.write(
    `no option ${unknown.join(', ')}. There is --full; other words choose files, for example persistence-cycles\n`,
  )
  process.exit(2)
}
const isFull = args.includes('--full')
const files = args.filter((arg) => !arg.startsWith('-'))
const seed = process.env.CHAOS_SEED ?? String(Math.floor(Math.random() * 2 ** 31))
const outputFile = join(tmpdir(), `sandlot-chaos-${process.pid}.json`)
process.stdout.write(`CHAOS_SEED=${seed}\n`)

const child = spawn(
  join(root, 'node_modules', '.bin', 'vitest'),
  [
    ...['run', '--project', 'chaos', '--reporter=default', '--reporter=json'],
    ...[`--outputFile.json=${outputFile}`, ...files],
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      CHAOS_SEED: seed,
      ...(isFull && { CHAOS_FULL: '1', CHAOS_ROUNDS: process.env.CHAOS_ROUNDS ?? '50' }),
    },
  },
)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal))
child.once('error', (error) => {
  process.stderr.write(`vitest could not be started: ${error.message}\n`)
  process.exit(1)
})
child.once('exit', (code) => {
  if (isFull) record()
  rmSync(outputFile, { force: true })
  process.exit(code ?? 1)
})

interface VitestReport {
  testResults: Array<{
    name: string
    assertionResults: Array<{ title: string; status: string; duration?: number; failureMessages: string[] }>
  }>
}

interface TestRecord {
  file: string
  title: string
  status: string
  seconds: number
  seed: string
  failure?: string
}

function record(): void {
  const report = JSON.parse(readFileSync(outputFile, 'utf8')) as VitestReport
  const tests = report.testResults
    .flatMap(({ name, assertionResults }) =>
      assertionResults.map((result) => ({ file: basename(name), ...result })),
    )
    .map(
      ({ file, title, status, duration = 0, failureMessages }): TestRecord => ({
        file,
        title,
        status,
        seed,
        seconds: Math.round(duration / 1000),
        ...(failureMessages.length > 0 && { failure: failureMessages[0]!.slice(0, 500) }),
      }),
    )
  const target = join(results, 'chaos.json')
  const again = new Set(tests.map(({ file }) => file))
  const kept = files.length > 0 ? recorded(target).filter(({ file }) => !again.has(file)) : []
  const all = [...kept, ...tests].sort((a, b) => a.file.localeCompare(b.file))
  const count = (status: string) => all.filter((test) => test.status === status).length
  const counts = { passed: count('passed'), failed: count('failed') }
  mkdirSync(results, { recursive: true })
  const content = { suite: 'chaos', machine: machine(), ...counts, tests: all }
  writeFileSync(target, `${JSON.stringify(content, null, 2)}\n`)
}

function recorded(file: string): TestRecord[] {
  try {
    return (JSON.parse(readFileSync(file, 'utf8')) as { tests: TestRecord[] }).tests
  } catch {
    return []
  }
}
