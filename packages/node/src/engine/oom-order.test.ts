import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ENVD_PATH } from './oci-spec.ts'
import { canSpareKernels, protectEnvd } from './oom-order.ts'

let dir: string
const children: ChildProcess[] = []

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-oom-'))
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})

/** Starts a process from a binary at `path` in a temporary folder. */
async function started(path: string, score: number): Promise<number> {
  const binary = join(dir, path)
  mkdirSync(join(binary, '..'), { recursive: true })
  copyFileSync('/bin/sleep', binary)
  const child = spawn(binary, ['60'], { stdio: 'ignore' })
  children.push(child)
  await once(child, 'spawn')
  writeFileSync(`/proc/${child.pid}/oom_score_adj`, String(score))
  return child.pid!
}

const scoreOf = (pid: number): number => Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'))

test('only stubs of envd have a lower score, however old they are', async () => {
  const before = await started('opt/bomb', 1000)
  const envd = await started(`root${ENVD_PATH}`, 1000)
  const after = await started('opt/envd', 1000)
  const sentry = await started(`sentry${ENVD_PATH}`, 0)
  const gone = await started('opt/gone', 1000)
  const ended = children.find(({ pid }) => pid === gone)!
  ended.kill('SIGKILL')
  await once(ended, 'exit')
  await protectEnvd([after, sentry, gone, envd, before])
  expect([before, envd, after, sentry].map(scoreOf)).toEqual([1000, 500, 1000, 0])
})

test.each([
  ['000001ffffffffff', true],
  ['000001fffeffffff', false],
  ['0000000000000000', false],
])('kernels can be protected with the effective capabilities %s: %s', (effective, can) => {
  expect(canSpareKernels(`Name:\tnode\nCapEff:\t${effective}\nCapBnd:\t000001ffffffffff\n`)).toBe(can)
})
