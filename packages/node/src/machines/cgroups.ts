import { constants, existsSync, readdirSync, readFileSync } from 'node:fs'
import { readdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
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

/** Files that hold a weight for the disk; which of them there are depends on kernel and scheduler. */
const IO_WEIGHTS: Record<CgroupVersion, readonly string[]> = {
  v1: ['blkio.bfq.weight', 'blkio.weight'],
  v2: ['io.weight', 'io.bfq.weight'],
  none: [],
}
/** Half of the default, which all else on the host has. */
const MACHINES_IO_WEIGHT = 50
/** A tenth of the default: the least that all these files take. */
const BUILDS_IO_WEIGHT = 10

/** runsc sets the cgroups up itself (`free` and `nproc` are right only then); this reads, kills and removes. */
export interface Cgroups {
  readonly version: CgroupVersion
  /** Whether this kernel can limit swap per cgroup; runsc fails where it is asked to and cannot. */
  readonly canLimitSwap: boolean
  /** Pids in the machine's cgroup, empty when it is dead or was never there. */
  pids(path: string): Promise<number[]>
  /** SIGKILL to everything inside until nothing is left. @throws SandlotError operation_timeout when something survives 18 s. */
  kill(path: string): Promise<void>
  remove(path: string): Promise<void>
  /**
   * Weight of a machine's cgroup against its siblings; 1024 is the default. Its parent, all machines of this instance
   * together, gives way to the rest of the host for the disk where the kernel knows weights for that.
   */
  setCpuShares(path: string, shares: number): Promise<void>
  /** Its siblings come first where they want the disk too, and the kernel knows weights for that. */
  giveWayForDisk(path: string): Promise<void>
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

/** The root cgroup of v2 has no limits, its children do. */
export function canLimitSwap(version: CgroupVersion = cgroupVersion(), root = ROOT): boolean {
  if (version === 'v1') return existsSync(join(root, 'memory/memory.memsw.limit_in_bytes'))
  return version === 'v2' && childHas(root, 'memory.swap.max')
}

/** Whether this kernel and its I/O scheduler share the disk by weights. */
export function canWeighDisk(version: CgroupVersion = cgroupVersion(), root = ROOT): boolean {
  const files = IO_WEIGHTS[version]
  return files.some((file) => childHas(version === 'v2' ? root : join(root, 'blkio'), file))
}

const childHas = (dir: string, file: string): boolean =>
  existsSync(dir) && readdirSync(dir).some((name) => existsSync(join(dir, name, file)))

/** @param root where the hierarchies are mounted */
export function openCgroups(version: CgroupVersion = cgroupVersion(), root = ROOT): Cgroups {
  const isV2 = version === 'v2'
  const mainDir = isV2 ? root : join(root, 'memory')
  const hierarchies = isV2
    ? [root]
    : readdirSync(root)
        .filter((name) => V1_CONTROLLERS.includes(name))
        .map((name) => join(root, name))
  const weighed = new Set<string>()

  const setIoWeight = async (path: string, weight: number): Promise<void> => {
    const dir = isV2 ? join(root, path) : join(root, 'blkio', path)
    await Promise.all(IO_WEIGHTS[version].map((file) => writeExisting(join(dir, file), String(weight))))
  }

  /** Once for each parent; it is there when the first machine below it is. */
  const giveWay = async (parent: string) => {
    if (weighed.has(parent)) return
    weighed.add(parent)
    await setIoWeight(parent, MACHINES_IO_WEIGHT)
  }

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
    canLimitSwap: canLimitSwap(version, root),
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
        ? [join(root, path, 'cpu.weight'), Math.max(1, Math.round((shares * 100) / 1024))]
        : [join(root, 'cpu', path, 'cpu.shares'), shares]
      await Promise.all([writeExisting(file, String(value)), giveWay(dirname(path))])
    },

    giveWayForDisk: (path) => setIoWeight(path, BUILDS_IO_WEIGHT),

    async usage(path) {
      try {
        if (isV2) {
          const [cpu, memory, memoryStat] = await Promise.all([
            readFile(join(root, path, 'cpu.stat'), 'utf8'),
            readFile(join(root, path, 'memory.current'), 'utf8'),
            readFile(join(root, path, 'memory.stat'), 'utf8'),
          ])
          const cacheBytes = Math.max(0, field(memoryStat, 'file') - field(memoryStat, 'shmem'))
          return {
            cpuNanoseconds: field(cpu, 'usage_usec') * 1000,
            memoryBytes: Number(memory) - cacheBytes,
            cacheBytes,
          }
        }
        const [cpu, memoryStat] = await Promise.all([
          readFile(join(root, 'cpuacct', path, 'cpuacct.usage'), 'utf8'),
          readFile(join(root, 'memory', path, 'memory.stat'), 'utf8'),
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

/** Of a kernel that lacks the file nothing is asked, nor of a cgroup that is gone. */
const writeExisting = (file: string, value: string): Promise<void> =>
  writeFile(file, value, { flag: constants.O_WRONLY | constants.O_TRUNC }).catch(() => {})

function field(text: string, name: string): number {
  const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)
  return match ? Number(match[1]) : 0
}
