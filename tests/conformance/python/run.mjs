#!/usr/bin/env node
// node run.mjs [version…]: runs the Python suite against the server of the environment and prints
// {passed, failed, skipped, failures: [{version, name, message}]} at its end.
import { runSuite } from './suite.ts'
import { pythonVersions } from './venv.ts'

const versions = process.argv.length > 2 ? process.argv.slice(2) : pythonVersions
const counts = { passed: 0, failed: 0, skipped: 0 }
const failures = []
for (const version of versions) {
  for (const { name, state, message } of (await runSuite(version)).values()) {
    counts[state]++
    if (state === 'failed') failures.push({ version, name, message })
  }
}
console.log(JSON.stringify({ ...counts, failures }, null, 2))
process.exit(counts.failed > 0 || counts.passed === 0 ? 1 : 0)
