#!/usr/bin/env node
import * as nodeModule from 'node:module'
import packageJson from '../package.json' with { type: 'json' }

// Node 22.1 and newer keep the compiled code between runs.
nodeModule.enableCompileCache?.()

const words = process.argv.slice(2)
if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) {
  process.stdout.write(`${packageJson.version}\n`)
} else {
  const { run } = await import('./run.ts')
  await run(words)
}
