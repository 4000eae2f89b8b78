import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { endLeftovers, KERNEL_MARK } from './leftovers.ts'

const started: ChildProcess[] = []
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'leftovers-'))
  vi.stubEnv('TMPDIR', dir)
})
afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(dir, { recursive: true })
  for (const child of started.splice(0)) child.kill('SIGKILL')
})

async function shell(script: string, env: Record<string, string>): Promise<ChildProcess> {
  const child = spawn('sh', ['-c', `${script} echo; sleep 60`], {
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  started.push(child)
  await once(child.stdout!, 'data')
  return child
}

test('processes of kernels of an earlier service are ended, and no others', async () => {
  const kernel = await shell('sleep 60 &', { [KERNEL_MARK]: 'python' })
  const itsServer = await shell('', { [KERNEL_MARK]: 'bash' })
  const other = await shell('', {})
  for (const name of ['kernel-of-python-aB3x', 'kernel-of-my%2Fown-x', 'mine']) mkdirSync(join(dir, name))
  const ends = Promise.all([kernel, itsServer].map((child) => once(child, 'exit')))
  expect(await endLeftovers()).toEqual(new Set(['python', 'my/own']))
  expect((await ends).map(([, signal]) => signal)).toEqual(['SIGKILL', 'SIGKILL'])
  expect(other.exitCode ?? other.signalCode).toBeNull()
  expect(
    ['kernel-of-python-aB3x', 'kernel-of-my%2Fown-x', 'mine'].map((name) => existsSync(join(dir, name))),
  ).toEqual([false, false, true])
  expect(await endLeftovers()).toEqual(new Set())
})
