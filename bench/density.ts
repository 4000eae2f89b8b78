// Memory and processor time that an idle sandbox uses. See README.md.
import { existsSync, readFileSync } from 'node:fs'
import { namesFor } from '@sandlot/node/instance-names'
import { createSandbox, home, killAll, onExit } from './server.ts'
import { pause, report, round } from './stats.ts'

const count = Number(process.argv[process.argv.indexOf('--n') + 1]) || 100
const SECONDS = 60
const SETTLE_MS = 15_000

const availableMB = (): number =>
  Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) / 1024
function sandboxesCpuSeconds(): number {
  const { cgroup } = namesFor(home)
  const v1 = `/sys/fs/cgroup/cpuacct/${cgroup}/cpuacct.usage`
  if (existsSync(v1)) return Number(readFileSync(v1, 'utf8')) / 1e9
  return (
    Number(/^usage_usec (\d+)/m.exec(readFileSync(`/sys/fs/cgroup/${cgroup}/cpu.stat`, 'utf8'))?.[1]) / 1e6
  )
}
const serverPid = (JSON.parse(readFileSync(`${home}/server.json`, 'utf8')) as { pid: number }).pid
function serverCpuSeconds(): number {
  const fields = readFileSync(`/proc/${serverPid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

await onExit()
try {
  // fills the warm pool and the server's buffers before the measurement
  const before = await createSandbox({ timeoutMs: 1_800_000 })
  await pause(SETTLE_MS)
  const memoryBefore = availableMB()
  for (let i = 0; i < count; i++) await createSandbox({ timeoutMs: 1_800_000 })
  await pause(SETTLE_MS)
  const perSandbox = (memoryBefore - availableMB()) / count
  const [sandboxes, server] = [sandboxesCpuSeconds(), serverCpuSeconds()]
  await pause(SECONDS * 1000)
  report('density', {
    sandboxes: count + 1,
    'MemAvailable a sandbox MB (stock grows with demand too)': round(perSandbox),
    'CPU of all sandboxes, percent of a core': round(((sandboxesCpuSeconds() - sandboxes) / SECONDS) * 100),
    'CPU of the server, percent of a core': round(((serverCpuSeconds() - server) / SECONDS) * 100),
  })
  await before.kill()
} finally {
  await killAll()
}
process.exit(0)
