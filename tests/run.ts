// `npm test`: every check and every test of the repository, one summary, the last line `N passed, N failed`.
// `npm test -- unit e2e` runs only those stages, and what they need.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killCommands } from './command.ts'
import type { Outcome } from './outcomes.ts'
import { runStages } from './schedule.ts'
import { type FileTime, slowestFiles } from './slow-files.ts'
import { emptySuites, type StageResult, stages, type TestStage } from './stages.ts'

/** Stages at a time. */
const WIDTH = 3
const SLOW_FILES = 10

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !stages.some((stage) => stage.name === name))
if (unknown.length > 0) {
  process.stderr.write(
    `no stage "${unknown.join('", "')}". There are: ${stages.map((stage) => stage.name).join(', ')}\n`,
  )
  process.exit(2)
}

const reports = mkdtempSync(join(tmpdir(), 'sandlot-reports-'))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    killCommands()
    rmSync(reports, { recursive: true, force: true })
    process.exit(130)
  })
}

const startedMs = Date.now()
const minutes = () => (Date.now() - startedMs) / 60_000
const rows = new Map<TestStage, string>()
const times: FileTime[] = []
const failures: string[] = []
const total: Outcome = { passed: 0, failed: 0, skipped: 0 }

await runStages(chosen(), WIDTH, runStage)

rmSync(reports, { recursive: true, force: true })
const summary = [
  ...stages.flatMap((stage) => rows.get(stage) ?? []),
  ...emptySuites().map((suite) => `! ${suite.padEnd(16)} holds no tests`),
]
if (times.length > 0) process.stdout.write(`\nslowest files\n${slowestFiles(times, SLOW_FILES)}\n`)
if (failures.length > 0) process.stdout.write(`\nfailed tests\n  ${failures.join('\n  ')}\n`)
process.stdout.write(`\n${summary.join('\n')}\n\n`)
process.stdout.write(`${minutes().toFixed(1)} minutes\n${total.passed} passed, ${total.failed} failed\n`)
process.exitCode = total.failed === 0 ? 0 : 1

/** The stages that were asked for (all, when none was) and those that they need. */
function chosen(): TestStage[] {
  if (asked.length === 0) return stages
  const names = new Set<string>()
  const add = (name: string) => {
    names.add(name)
    stages.find((stage) => stage.name === name)?.needs.forEach(add)
  }
  for (const name of asked) add(name)
  return stages.filter(({ name }) => names.has(name))
}

async function runStage(stage: TestStage): Promise<void> {
  const { name, leftOutAfterMinutes } = stage
  if (asked.length === 0 && leftOutAfterMinutes !== undefined && minutes() > leftOutAfterMinutes) {
    const why = `${Math.round(minutes())} minutes are over, and it starts within ${leftOutAfterMinutes} only`
    rows.set(
      stage,
      `! ${name.padEnd(16)} left out, for a run of 40 minutes: ${why}; \`npm test -- ${name}\` runs it`,
    )
    return
  }
  process.stdout.write(`── ${name}\n`)
  const started = Date.now()
  const output = lineWriter(name)
  const result = await stage
    .run({
      timeoutMs: stage.timeoutMinutes * 60_000,
      isBackground: stage.isBackground,
      reports,
      print: output.write,
    })
    .catch((error: unknown): StageResult => {
      output.write(`${String(error)}\n`)
      return { passed: 0, failed: 1, skipped: 0, failures: [String(error)] }
    })
  output.end()
  for (const kind of ['passed', 'failed', 'skipped'] as const) total[kind] += result[kind]
  times.push(...(result.files ?? []))
  failures.push(...(result.failures ?? []).map((failure) => `${name.padEnd(12)} ${failure}`))
  const seconds = ((Date.now() - started) / 1000).toFixed(1)
  const counts = `${result.passed} passed, ${result.failed} failed${result.skipped ? `, ${result.skipped} skipped` : ''}`
  const row = `${result.failed === 0 ? '✓' : '✗'} ${name.padEnd(16)} ${counts} (${seconds} s)`
  rows.set(stage, row)
  process.stdout.write(`── ${row}\n`)
}

/** Puts the name of its stage before each line, as two stages write at once. */
function lineWriter(name: string): { write: (text: string) => void; end: () => void } {
  let rest = ''
  const print = (line: string) => process.stdout.write(`${name.padEnd(12)} │ ${line}\n`)
  return {
    write(text) {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      for (const line of lines) print(line)
    },
    end() {
      if (rest) print(rest)
    },
  }
}
