/** Counts of the tests of one runner. */
export interface Outcome {
  passed: number
  failed: number
  skipped: number
}

/**
 * Reads vitest's JSON report. A runner that failed without a failed test (a broken import, a server that did not
 * start, no report at all) counts as one failure.
 */
export function countVitestTests(json: string, exitCode: number): Outcome {
  let report: {
    numPassedTests?: number
    numFailedTests?: number
    numPendingTests?: number
    numTodoTests?: number
  } = {}
  try {
    report = JSON.parse(json)
  } catch {}
  const failed = report.numFailedTests ?? 0
  return {
    passed: report.numPassedTests ?? 0,
    failed: failed === 0 && exitCode !== 0 ? 1 : failed,
    skipped: (report.numPendingTests ?? 0) + (report.numTodoTests ?? 0),
  }
}

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
    const event = parseEvent(line)
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

function parseEvent(line: string): GoEvent | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as GoEvent
  } catch {
    return undefined
  }
}
