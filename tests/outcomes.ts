/** Counts of the tests of one runner. */
export interface Outcome {
  passed: number
  failed: number
  skipped: number
}

interface VitestReport {
  numPassedTests?: number
  numFailedTests?: number
  numPendingTests?: number
  numTodoTests?: number
  testResults?: {
    name: string
    status: string
    message: string
    assertionResults: { status: string; fullName: string; failureMessages: string[] | null }[]
  }[]
}

/**
 * Reads vitest's JSON report. A runner that failed without a failed test (a broken import, a server that did not
 * start, no report at all) counts as one failure.
 */
export function countVitestTests(json: string, exitCode: number): Outcome {
  const report = parse<VitestReport>(json) ?? {}
  const failed = report.numFailedTests ?? 0
  return {
    passed: report.numPassedTests ?? 0,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0),
  }
}

/**
 * Names each failed test of vitest's JSON report, with the first line of its error; a file that failed outside of its
 * tests (an import, a hook) is named with its path.
 */
export function failedVitestTests(json: string): string[] {
  const files = parse<VitestReport>(json)?.testResults ?? []
  return files.flatMap(({ name, status, message, assertionResults }) => {
    const failed = assertionResults.filter((test) => test.status === 'failed')
    if (failed.length === 0) return status === 'failed' ? [`${name}: ${firstLine(message)}`] : []
    return failed.map(
      ({ fullName, failureMessages }) => `${fullName}: ${firstLine(failureMessages?.[0] ?? 'no message')}`,
    )
  })
}

const firstLine = (text: string): string => text.trim().split('\n', 1)[0]!

interface GoEvent {
  Action: string
  Package?: string
  Test?: string
  Output?: string
}

/** Reads `go test -json`; a package that does not build counts as one failure. @returns also a report of what failed, for people */
export function countGoTests(output: string, exitCode: number): { outcome: Outcome; failures: string } {
  const outcome: Outcome = { passed: 0, failed: 0, skipped: 0 }
  const spoken = new Map<string, string>()
  let failures = ''
  for (const line of output.split('\n')) {
    const event = line.startsWith('{') ? parse<GoEvent>(line) : undefined
    if (!event) {
      if (line.trim()) failures += `${line}\n`
      continue
    }
    const key = `${event.Package} ${event.Test ?? ''}`
    if (event.Output) spoken.set(key, (spoken.get(key) ?? '') + event.Output)
    if (event.Action === 'fail' || event.Action === 'build-output')
      failures += event.Output ?? spoken.get(key) ?? ''
    if (!event.Test) continue
    if (event.Action === 'pass') outcome.passed++
    if (event.Action === 'fail') outcome.failed++
    if (event.Action === 'skip') outcome.skipped++
  }
  if (outcome.failed === 0 && exitCode !== 0) outcome.failed = 1
  return { outcome, failures: exitCode === 0 ? '' : failures }
}

function parse<T>(json: string): T | undefined {
  try {
    return JSON.parse(json) as T
  } catch {
    return undefined
  }
}
