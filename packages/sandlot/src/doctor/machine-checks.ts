import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { canSpareKernels } from '@sandlot/node/engine/oom-order'
import { run } from '@sandlot/node/host/run'
import { hostIdsFor } from '@sandlot/node/machines/host-ids'
import type { Verdict } from './finding.ts'

/** Minimum for gVisor is 4.14.77 (https://gvisor.dev/docs/user_guide/install/); systrap was measured on 6.18. */
const MINIMUM_KERNEL = [4, 15] as const
const MINIMUM_MEMORY_MB = 1024
const CONTROLLERS = ['cpu', 'memory', 'pids'] as const
/** Release date of the pinned runsc: a clock before this date makes certificates look invalid. */
const EARLIEST_TIME = Date.UTC(2026, 8, 5)

export function kernel(): Verdict {
  const version = release()
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const isNewEnough = major > MINIMUM_KERNEL[0] || (major === MINIMUM_KERNEL[0] && minor >= MINIMUM_KERNEL[1])
  if (process.platform !== 'linux')
    return { status: 'failed', detail: process.platform, mend: 'use a Linux machine or VM' }
  if (isNewEnough) return { status: 'ok', detail: version }
  return { status: 'failed', detail: version, mend: `boot a kernel of ${MINIMUM_KERNEL.join('.')} or newer` }
}

export function architecture(): Verdict {
  if (process.arch === 'x64' || process.arch === 'arm64') return { status: 'ok', detail: process.arch }
  return { status: 'failed', detail: process.arch, mend: 'gVisor runs on x86_64 and arm64 only' }
}

export function rootUser(): Verdict {
  const uid = process.getuid?.()
  if (uid === 0) return { status: 'ok', detail: 'uid 0' }
  return { status: 'failed', detail: `uid ${uid}`, mend: 'run Sandlot as root: sudo npm start' }
}

export function sandboxUsers(): Verdict {
  if (hostIdsFor('0')) return { status: 'ok', detail: 'each sandbox has its own user on this machine' }
  return {
    status: 'warning',
    detail: 'the kernels of all sandboxes share one user of this machine',
    mend: 'give the user namespace that Sandlot runs in at least 65536 ids',
  }
}

export function memoryLimit(): Verdict {
  if (canSpareKernels())
    return {
      status: 'ok',
      detail: 'at the memory limit, processes are killed before the kernel of their sandbox',
    }
  return {
    status: 'warning',
    detail: 'without CAP_SYS_RESOURCE a fork bomb at the memory limit may end its whole sandbox',
    mend: 'start Sandlot with CAP_SYS_RESOURCE, which root of the machine has',
  }
}

export interface CgroupLayout {
  mode: 'v1' | 'v2' | 'hybrid' | 'none'
  /** Controllers that can limit sandboxes. */
  controllers: string[]
}

/** Reads /proc/mounts and the controllers of each cgroup2 mount. */
export function readCgroupLayout(
  mounts: string,
  controllersOf: (mountPoint: string) => string[],
): CgroupLayout {
  const controllers = new Set<string>()
  let hasV1 = false
  let hasV2 = false
  for (const line of mounts.split('\n')) {
    const [, mountPoint = '', type, options = ''] = line.split(' ')
    if (type === 'cgroup') {
      const named = options
        .split(',')
        .filter((option) => /^(cpu|cpuacct|cpuset|memory|pids|freezer|blkio|devices)$/.test(option))
      if (named.length > 0) hasV1 = true
      for (const controller of named) controllers.add(controller)
    }
    if (type === 'cgroup2') {
      hasV2 = true
      // Every v2 cgroup can be frozen, although `freezer` is not listed as a controller.
      for (const controller of [...controllersOf(mountPoint), 'freezer']) controllers.add(controller)
    }
  }
  const mode = hasV1 ? (hasV2 ? 'hybrid' : 'v1') : hasV2 ? 'v2' : 'none'
  return { mode, controllers: [...controllers].sort() }
}

export function cgroups(): Verdict {
  const layout = readCgroupLayout(readFileSync('/proc/mounts', 'utf8'), (mountPoint) => {
    const file = `${mountPoint}/cgroup.controllers`
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split(' ').filter(Boolean) : []
  })
  const missing = [...CONTROLLERS, 'freezer'].filter((controller) => !layout.controllers.includes(controller))
  if (layout.mode === 'none')
    return { status: 'failed', detail: 'not mounted', mend: 'mount -t cgroup2 none /sys/fs/cgroup' }
  if (missing.length === 0) return { status: 'ok', detail: `${layout.mode}: ${layout.controllers.join(' ')}` }
  return {
    status: 'failed',
    detail: `${layout.mode}, without ${missing.join(' ')}`,
    mend: 'boot with cgroup_enable=memory and without cgroup_disable=…; in a container, delegate these controllers',
  }
}

export async function networkNamespaces(): Promise<Verdict> {
  if (!existsSync('/proc/self/ns/net')) {
    return { status: 'failed', detail: 'not in this kernel', mend: 'use a kernel with CONFIG_NET_NS' }
  }
  if (process.getuid?.() !== 0) return { status: 'warning', detail: 'in the kernel; not tried without root' }
  try {
    await run('unshare', ['--net', '--mount', 'true'], { timeoutMs: 5000 })
    return { status: 'ok', detail: 'can be created' }
  } catch (error) {
    return {
      status: 'failed',
      detail: (error as Error).message,
      mend: 'needs CAP_SYS_ADMIN and CAP_NET_ADMIN: run on the machine itself, or in a privileged container',
    }
  }
}

export function memory(): Verdict {
  const available = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]
  const availableMB = Math.floor(Number(available ?? 0) / 1024)
  const detail = `${availableMB} MB available`
  if (availableMB >= MINIMUM_MEMORY_MB) return { status: 'ok', detail }
  return {
    status: 'warning',
    detail,
    mend: `free at least ${MINIMUM_MEMORY_MB} MB: each busy sandbox may use up to memoryMB`,
  }
}

export function clock(): Verdict {
  const now = new Date().toISOString()
  if (Date.now() >= EARLIEST_TIME) return { status: 'ok', detail: now }
  return {
    status: 'failed',
    detail: now,
    mend: 'the clock is behind, so certificates will be rejected: set it (timedatectl set-ntp true)',
  }
}
