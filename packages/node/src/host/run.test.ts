import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { CommandError, run } from './run.ts'

test('background processes have the lowest priority for the processor and the disk', async () => {
  const { stdout } = await run('sh', ['-c', 'nice; ionice -p $$'], { isBackground: true })
  expect(stdout).toBe('19\nidle\n')
})

test('output is captured and input is fed', async () => {
  expect(await run('cat', [], { input: 'hello' })).toEqual({ stdout: 'hello', stderr: '' })
})

test('a failing command throws with its exit code and output', async () => {
  const error = await run('sh', ['-c', 'echo broken >&2; exit 3']).catch((e) => e)
  expect(error).toBeInstanceOf(CommandError)
  expect(error).toMatchObject({ exitCode: 3, stderr: 'broken\n', timedOut: false })
})

test('a command that hangs is killed at its timeout', async () => {
  const error = await run('sleep', ['60'], { timeoutMs: 50 }).catch((e) => e)
  expect(error).toMatchObject({ timedOut: true })
})

test('a command that does not exist throws', async () => {
  await expect(run('/no/such/command', [])).rejects.toThrow(/did not start/)
})

test('aborting kills the process, and the call rejects when it is dead', async () => {
  const abort = new AbortController()
  let pid = 0
  const running = run('sh', ['-c', 'echo $$; exec sleep 60'], {
    signal: abort.signal,
    onLine: (line) => {
      pid = Number(line)
      abort.abort()
    },
  })
  await expect(running).rejects.toMatchObject({ exitCode: null, timedOut: false })
  expect(() => process.kill(pid, 0)).toThrow(/ESRCH/)
})

test('standard output is written to an open file, and never to another file that has reused the descriptor', async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'sandlot-run-'))
  onTestFinished(() => rmSync(scratch, { recursive: true }))
  const path = join(scratch, 'out')
  const file = await open(path, 'wx')
  await run('echo', ['hello'], { stdout: file })
  expect(readFileSync(path, 'utf8')).toBe('hello\n')
  await file.close()
  await expect(run('echo', ['hello'], { stdout: file })).rejects.toThrow('is closed')
})
