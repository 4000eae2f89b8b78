import { expect, test } from 'vitest'
import { CommandError, run } from './run.ts'

test('output is captured and input is fed', async () => {
  expect(await run('cat', [], { input: 'hello' })).toEqual({ stdout: 'hello', stderr: '' })
})

test('a failing command throws with its exit code and what it said', async () => {
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
