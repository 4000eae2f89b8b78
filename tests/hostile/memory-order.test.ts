import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Sandbox } from 'e2b-official'
import { expect, test, vi } from 'vitest'
import { server } from './guest.ts'

const ENVD = '/opt/sandlot/envd'
const hierarchy = ['/sys/fs/cgroup/memory', '/sys/fs/cgroup'].find((dir) =>
  existsSync(join(dir, 'cgroup.procs')),
)!
const machinesDir = join(
  hierarchy,
  `sandlot-${createHash('sha256').update(server.home).digest('hex').slice(0, 4)}`,
)

/** OOM scores of each machine's processes: `envd`, and the other processes of the guest. */
function scores(): { envd: number[]; others: number[] }[] {
  const machines = readdirSync(machinesDir, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  return machines.map(({ name }) => {
    const pids = readFileSync(join(machinesDir, name, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter(Boolean)
    const found: { envd: number[]; others: number[] } = { envd: [], others: [] }
    for (const pid of pids) {
      try {
        const score = Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'))
        // sentry and gofer
        if (score <= 0) continue
        const isEnvd = readFileSync(`/proc/${pid}/maps`, 'utf8').includes(`${ENVD}\n`)
        found[isEnvd ? 'envd' : 'others'].push(score)
      } catch {
        // the process has ended
      }
    }
    return found
  })
}

test('at the memory limit envd is not the first to be killed, also in resumed sandboxes and forks', async () => {
  const sandbox = await Sandbox.create({ timeoutMs: 300_000 })
  await sandbox.commands.run('sleep 600', { background: true, timeoutMs: 0 })
  const snapshot = await sandbox.createSnapshot()
  const fork = await Sandbox.create(snapshot.snapshotId, { timeoutMs: 300_000 })
  try {
    await vi.waitFor(
      () => {
        // a prepared kernel runs no envd yet
        const machines = scores().filter(({ envd }) => envd.length > 0)
        expect(machines.length).toBeGreaterThanOrEqual(2)
        for (const { envd, others } of machines) {
          expect(new Set(envd)).toEqual(new Set([500]))
          expect(new Set(others)).toEqual(new Set([1000]))
        }
      },
      { timeout: 20_000, interval: 250 },
    )
    expect((await fork.commands.list()).length).toBeGreaterThan(0)
  } finally {
    await Promise.allSettled([sandbox.kill(), fork.kill()])
  }
}, 90_000)
