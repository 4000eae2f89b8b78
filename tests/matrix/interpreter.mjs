// What every program of a code interpreter does, written for every generation of `@e2b/code-interpreter`; see program.mjs.
import { attempt, check, installed } from '../programs/steps.mjs'

const { Sandbox } = installed('@e2b/code-interpreter')

async function runCode() {
  await sandbox.runCode('x = 20')
  const lines = []
  const execution = await sandbox.runCode('print("out"); x + 1', { onStdout: ({ line }) => lines.push(line) })
  check(execution.text === '21' && execution.logs.stdout.join() === 'out\n', execution)
  check(lines.join() === 'out\n', lines)
  check((await sandbox.runCode('1 / 0')).error?.name === 'ZeroDivisionError', 'no error')
}

async function draw() {
  const execution = await sandbox.runCode('import matplotlib.pyplot as plt\nplt.plot([1, 2, 4])\nplt.show()')
  check(
    execution.results.some(({ png }) => png),
    execution,
  )
}

async function useContext() {
  const context = await sandbox.createCodeContext({ cwd: '/tmp' })
  check((await sandbox.runCode('import os; os.getcwd()', { context })).text === '/tmp', 'another folder')
}

const sandbox = await attempt('create', () => Sandbox.create({ timeoutMs: 120_000 }))
if (sandbox) {
  await attempt('runCode', runCode)
  await attempt('chart', draw)
  await attempt('context', useContext)
  await attempt('kill', async () => check((await sandbox.kill()) !== false, 'kill says that there was none'))
}
process.exit()
