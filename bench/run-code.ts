// The first `runCode` in a fresh sandbox of code-interpreter-v1, beside the first command in another. See README.md.
import { Sandbox } from 'code-interpreter-official'
import { killAll, metadata, onExit, stockAtRest } from './server.ts'
import { report, round, summarize, timed } from './stats.ts'

const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 20
const create = async (): Promise<Sandbox> => {
  await stockAtRest()
  return Sandbox.create({ metadata, timeoutMs: 300_000 })
}

async function first(work: (sandbox: Sandbox) => Promise<unknown>, into: number[]): Promise<void> {
  const sandbox = await create()
  into.push((await timed(() => work(sandbox)))[1])
  await sandbox.kill()
}

async function runCode(sandbox: Sandbox): Promise<void> {
  const { text } = await sandbox.runCode('1+1')
  if (text !== '2') throw new Error(`1+1 gave ${text}`)
}

await onExit()
try {
  const code: number[] = []
  const command: number[] = []
  const next: number[] = []
  await first(runCode, [])
  for (let i = 0; i < count; i++) {
    await first(runCode, code)
    await first((sandbox) => sandbox.commands.run('true'), command)
  }
  const sandbox = await create()
  await runCode(sandbox)
  for (let i = 0; i < count; i++) next.push((await timed(() => runCode(sandbox)))[1])
  report('run-code', {
    "first runCode('1+1') after create ms": summarize(code),
    'first command after create ms': summarize(command),
    'a later runCode in the same sandbox ms': summarize(next),
    'first runCode p50 / first command p50': round(summarize(code).p50 / summarize(command).p50),
  })
} finally {
  await killAll()
}
process.exit(0)
