import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'

const ROOT = '/sys/fs/cgroup'
const V1_CONTROLLERS = [
  'memory',
  'cpu',
  'cpuacct',
  'pids',
  'freezer',
  'devices',
  'blkio',
  'cpuset',
  'systemd',
  'unified',
]
/** A kernel whose writable layer fills its quota gives 10 GB back to the disk before it is gone: 5 s and more. */
const KILL_TIMEOUT_MS = 18_000

export type CgroupVersion = 'v1' | 'v2' | 'none'

/** runsc sets the cgroups up itself (`free` and `nproc` are right only then); this reads, kills and removes. */
export interface Cgroups {
  readonly version: CgroupVersion
  /** Pids in the machine's cgroup, empty when it is dead or was never there. */
  pids(path: string): Promise<number[]>
  /** SIGKILL to everything inside until nothing is left. @throws SandlotError operation_timeout when something survives 18 s. */
  kill(path: string): Promise<void>
  remove(path: string): Promise<void>
  /** Weight against the other cgroups of this machine; 1024 is the default. */
  setCpuShares(path: string, shares: number): Promise<void>
  /** Total CPU time, and memory in use with and without page cache. Undefined once it is gone. */
  usage(path: string): Promise<CgroupUsage | undefined>
  /** Names of the cgroups below `parent`. */
  children(parent: string): Promise<string[]>
}

export interface CgroupUsage {
  cpuNanoseconds: number
  memoryBytes: number
  cacheBytes: number
}

export function cgroupVersion(): CgroupVersion {
  if (existsSync(join(ROOT, 'cgroup.controllers'))) return 'v2'
  if (existsSync(join(ROOT, 'memory/cgroup.procs'))) return 'v1'
  return 'none'
}

export function openCgroups(version: CgroupVersion = cgroupVersion()): Cgroups {
  const isV2 = version === 'v2'
  const mainDir = isV2 ? ROOT : join(ROOT, 'memory')
  const hierarchies = isV2
    ? [ROOT]
    : readdirSync(ROOT)
        .filter((name) => V1_CONTROLLERS.includes(name))
        .map((name) => join(ROOT, name))

  const pidsSync = (path: string): number[] => {
    try {
      return readFileSync(join(mainDir, path, 'cgroup.procs'), 'utf8')
        .split('\n')
        .filter(Boolean)
        .map(Number)
    } catch {
      return []
    }
  }

  return {
    version,
    pids: async (path) => pidsSync(path),

    async kill(path) {
      const deadline = Date.now() + KILL_TIMEOUT_MS
      for (;;) {
        const pids = pidsSync(path)
        if (pids.length === 0) return
        for (const pid of pids) {
          try {
            process.kill(pid, 'SIGKILL')
          } catch {}
        }
        if (Date.now() > deadline)
          throw new SandlotError(
            'operation_timeout',
            `processes ${pids.join(', ')} in cgroup ${path} survive SIGKILL for ${KILL_TIMEOUT_MS / 1000} s`,
          )
        await delay(3)
      }
    },

    async remove(path) {
      await Promise.all(
        hierarchies.map(async (hierarchy) => {
          // EBUSY while a killed process is still being reaped
          for (let attempt = 0; attempt < 100; attempt++) {
            try {
              return await rmdir(join(hierarchy, path))
            } catch (error) {
              if ((error as NodeJS.ErrnoException).code !== 'EBUSY') return
              await delay(20)
            }
          }
        }),
      )
    },

    async setCpuShares(path, shares) {
      const [file, value] = isV2
        ? [join(ROOT, path, 'cpu.weight'), Math.max(1, Math.round((shares * 100) / 1024))]
        : [join(ROOT, 'cpu', path, 'cpu.shares'), shares]
      await writeFile(file, String(value)).catch(() => {})
    },

    async usage(path) {
      try {
        if (isV2) {
          const [cpu, memory, memoryStat] = await Promise.all([
            readFile(join(ROOT, path, 'cpu.stat'), 'utf8'),
            readFile(join(ROOT, path, 'memory.current'), 'utf8'),
            readFile(join(ROOT, path, 'memory.stat'), 'utf8'),
          ])
          const cacheBytes = Math.max(0, field(memoryStat, 'file') - field(memoryStat, 'shmem'))
          return {
            cpuNanoseconds: field(cpu, 'usage_usec') * 1000,
            memoryBytes: Number(memory) - cacheBytes,
            cacheBytes,
          }
        }
        const [cpu, memoryStat] = await Promise.all([
          readFile(join(ROOT, 'cpuacct', path, 'cpuacct.usage'), 'utf8'),
          readFile(join(ROOT, 'memory', path, 'memory.stat'), 'utf8'),
        ])
        // the guest's memory is a memfd of the sentry: it counts as shmem inside "cache"
        const shmem = field(memoryStat, 'total_shmem')
        return {
          cpuNanoseconds: Number(cpu),
          memoryBytes: field(memoryStat, 'total_rss') + shmem,
          cacheBytes: Math.max(0, field(memoryStat, 'total_cache') - shmem),
        }
      } catch {
        return undefined
      }
    },

    async children(parent) {
      const entries = await readdir(join(mainDir, parent), { withFileTypes: true }).catch(() => [])
      return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
    },
  }
}

function field(text: string, name: string): number {
  const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)
  return match ? Number(match[1]) : 0
}
