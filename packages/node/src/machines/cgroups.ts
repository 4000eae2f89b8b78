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
/**
 * Longest wait for killed processes: a kernel with a full writable layer frees 10 GB of disk before it exits, which takes
 * 5 s and more.
 */
const KILL_TIMEOUT_MS = 18_000
const KILL_INTERVAL_MS = 3

export type CgroupVersion = 'v1' | 'v2' | 'none'

/** Files that hold a weight for the disk; which ones exist depends on the kernel and its I/O scheduler. */
const IO_WEIGHTS: Record<CgroupVersion, readonly string[]> = {
  v1: ['blkio.bfq.weight', 'blkio.weight'],
  v2: ['io.weight', 'io.bfq.weight'],
  none: [],
}
/** Disk weight of all machines together: half of the default, which the rest of the host has. */
const MACHINES_IO_WEIGHT = 50
/** Disk weight of machines of builds: a tenth of the default, the minimum that all these files accept. */
const BUILDS_IO_WEIGHT = 10

export interface CgroupUsage {
  cpuNanoseconds: number
  /** Used memory, without the page cache. */
  memoryBytes: number
  cacheBytes: number
}

export function cgroupVersion(): CgroupVersion {
  if (existsSync(join(ROOT, 'cgroup.controllers'))) return 'v2'
  if (existsSync(join(ROOT, 'memory/cgroup.procs'))) return 'v1'
  return 'none'
}

/** Whether this kernel can limit swap. Checks children of the root cgroup, because the root of v2 has no limits. */
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

/** Reads, kills and removes cgroups. runsc creates them, because only then `free` and `nproc` inside are right. */
export class Cgroups {
  readonly version: CgroupVersion
  /** Whether this kernel can limit swap per cgroup; runsc fails when a limit is set that the kernel lacks. */
  readonly canLimitSwap: boolean
  readonly #root: string
  readonly #isV2: boolean
  readonly #hierarchies: readonly string[]
  /** Parents that already have a disk weight. */
  readonly #weighed = new Set<string>()

  /** @param root where the hierarchies are mounted */
  constructor(version: CgroupVersion = cgroupVersion(), root = ROOT) {
    this.version = version
    this.canLimitSwap = canLimitSwap(version, root)
    this.#root = root
    this.#isV2 = version === 'v2'
    this.#hierarchies = this.#isV2
      ? [root]
      : readdirSync(root)
          .filter((name) => V1_CONTROLLERS.includes(name))
          .map((name) => join(root, name))
  }

  /** Pids in the machine's cgroup; none when the machine is dead or never existed. */
  async pids(path: string): Promise<number[]> {
    return this.#pids(path)
  }

  /** Sends SIGKILL to all processes until none is left. @throws SandlotError operation_timeout when one survives 18 s */
  async kill(path: string): Promise<void> {
    const deadlineMs = performance.now() + KILL_TIMEOUT_MS
    for (;;) {
      const pids = this.#pids(path)
      if (pids.length === 0) return
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {}
      }
      if (performance.now() > deadlineMs)
        throw new SandlotError(
          'operation_timeout',
          `processes ${pids.join(', ')} in cgroup ${path} survive SIGKILL for ${KILL_TIMEOUT_MS / 1000} s`,
        )
      await delay(KILL_INTERVAL_MS)
    }
  }

  async remove(path: string): Promise<void> {
    await Promise.all(this.#hierarchies.map((hierarchy) => removeWhenIdle(join(hierarchy, path))))
  }

  /**
   * Sets the weight of a machine's cgroup against its siblings; 1024 is the default. Also gives the parent, which all
   * machines of this instance share, a lower disk weight than the rest of the host, where the kernel has such weights.
   */
  async setCpuShares(path: string, shares: number): Promise<void> {
    const [file, value] = this.#isV2
      ? [join(this.#root, path, 'cpu.weight'), Math.max(1, Math.round((shares * 100) / 1024))]
      : [join(this.#root, 'cpu', path, 'cpu.shares'), shares]
    await Promise.all([writeExisting(file, String(value)), this.#giveWay(dirname(path))])
  }

  /** Gives a cgroup a lower disk weight than its siblings, where the kernel has such weights. */
  giveWayForDisk(path: string): Promise<void> {
    return this.#setIoWeight(path, BUILDS_IO_WEIGHT)
  }

  /** @returns undefined when the cgroup is gone */
  async usage(path: string): Promise<CgroupUsage | undefined> {
    try {
      return await (this.#isV2 ? usageV2(this.#root, path) : usageV1(this.#root, path))
    } catch {
      return undefined
    }
  }

  /** Names of the cgroups below `parent`. */
  async children(parent: string): Promise<string[]> {
    const dir = join(this.#mainDir, parent)
    const entries = await readdir(dir, { withFileTypes: true }).catch(() => [])
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  }

  get #mainDir(): string {
    return this.#isV2 ? this.#root : join(this.#root, 'memory')
  }

  #pids(path: string): number[] {
    try {
      const text = readFileSync(join(this.#mainDir, path, 'cgroup.procs'), 'utf8')
      return text.split('\n').filter(Boolean).map(Number)
    } catch {
      return []
    }
  }

  /** Sets the disk weight once for each parent, which exists as soon as it contains a machine. */
  async #giveWay(parent: string): Promise<void> {
    if (this.#weighed.has(parent)) return
    this.#weighed.add(parent)
    await this.#setIoWeight(parent, MACHINES_IO_WEIGHT)
  }

  async #setIoWeight(path: string, weight: number): Promise<void> {
    const dir = this.#isV2 ? join(this.#root, path) : join(this.#root, 'blkio', path)
    const files = IO_WEIGHTS[this.version]
    await Promise.all(files.map((file) => writeExisting(join(dir, file), String(weight))))
  }
}

/** Removes a cgroup folder; retries while it is busy because a killed process is being reaped. */
async function removeWhenIdle(dir: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++)
    try {
      return await rmdir(dir)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') return
      await delay(20)
    }
}

async function usageV2(root: string, path: string): Promise<CgroupUsage> {
  const [cpu, memory, memoryStat] = await Promise.all(
    ['cpu.stat', 'memory.current', 'memory.stat'].map((file) => readFile(join(root, path, file), 'utf8')),
  )
  const cacheBytes = Math.max(0, field(memoryStat!, 'file') - field(memoryStat!, 'shmem'))
  return {
    cpuNanoseconds: field(cpu!, 'usage_usec') * 1000,
    memoryBytes: Number(memory) - cacheBytes,
    cacheBytes,
  }
}

async function usageV1(root: string, path: string): Promise<CgroupUsage> {
  const [cpu, memoryStat] = await Promise.all([
    readFile(join(root, 'cpuacct', path, 'cpuacct.usage'), 'utf8'),
    readFile(join(root, 'memory', path, 'memory.stat'), 'utf8'),
  ])
  // the guest's memory is a memfd of the sentry, which is counted as shmem inside "cache"
  const shmem = field(memoryStat, 'total_shmem')
  return {
    cpuNanoseconds: Number(cpu),
    memoryBytes: field(memoryStat, 'total_rss') + shmem,
    cacheBytes: Math.max(0, field(memoryStat, 'total_cache') - shmem),
  }
}

/** Writes a cgroup file; does nothing when the kernel lacks the file or the cgroup is gone. */
const writeExisting = (file: string, value: string): Promise<void> =>
  writeFile(file, value, { flag: constants.O_WRONLY | constants.O_TRUNC }).catch(() => {})

function field(text: string, name: string): number {
  const match = new RegExp(`^${name} (\\d+)$`, 'm').exec(text)
  return match ? Number(match[1]) : 0
}
