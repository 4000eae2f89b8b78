import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'

/** Starts a process that does not stop, and writes a line for each stop signal. */
async function stubbornProcess() {
  const script = `import(${JSON.stringify(import.meta.resolve('./stop-signals.ts'))}).then(({ onStopSignal }) => {
    onStopSignal((signal) => process.stdout.write('asked by ' + signal))
    setInterval(() => {}, 1000)
    process.stdout.write('ready')
  })`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}

test('signals of one Ctrl-C that arrive three times count as one; a second Ctrl-C ends the process at once', async () => {
  const child = await stubbornProcess()
  const asked = once(child.stdout, 'data')
  for (let i = 0; i < 3; i++) child.kill('SIGINT')
  expect(String((await asked)[0])).toBe('asked by SIGINT')
  // Longer than the time within which signals count as one.
  await sleep(500)
  expect(child.exitCode).toBeNull()
  const exit = once(child, 'exit')
  child.kill('SIGINT')
  expect((await exit)[0]).toBe(1)
})
