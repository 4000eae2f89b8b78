import type { BuildResources } from '@sandlot/protocol/node'
import { machineMemoryMB } from '../machines/capacity.ts'

/** What a developer expects of a container with root and sudo; inside gVisor they only reach gVisor. */
const capabilities = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_IPC_LOCK',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_ADMIN',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_ADMIN',
  'CAP_SYS_CHROOT',
  'CAP_SYS_NICE',
  'CAP_SYS_PTRACE',
  'CAP_SYS_RESOURCE',
]

const MAX_PROCESSES = 4096
/** Where the folder `guestDir` of the host is seen inside. */
const GUEST_PATH = '/opt/sandlot'
/** The first process of every machine of a sandbox. */
export const ENVD_PATH = `${GUEST_PATH}/envd`

export interface SpecOptions extends BuildResources {
  imagePath: string
  /** Read-only folder with the `envd` binary, mounted at /opt/sandlot. */
  guestDir: string
  /** Program of that folder that is the first process. Default: envd. */
  program?: string
  /** Folder for the writable layers' backing files. runsc compares it at a restore: one for all machines. */
  overlayDir: string
  /** Any empty folder: with an EROFS root nothing of it is seen. */
  emptyDir: string
  /** Absent: no network at all, not even a device. */
  netnsPath?: string
  cgroupsPath: string
  cpuShares: number
  /** What runs instead of envd's daemon, with these capabilities only. */
  process?: { args: string[]; capabilities: string[] }
  /** User and group of the kernel and the gofer on this host. Default: those of the server, in a user namespace of their own. */
  hostId?: number
  /** Kernels that cannot are asked for no limit: runsc would fail. */
  canLimitSwap: boolean
}

/**
 * OCI runtime spec of a machine.
 *
 * EROFS root plus one read-only bind mount: the mount makes runsc start a gofer, without which a disk-backed
 * overlay on an EROFS root panics (docs/adr/0002).
 */
export function ociSpec(options: SpecOptions) {
  const allowed = options.process?.capabilities ?? capabilities
  const memoryBytes = Math.min(options.memoryMB, machineMemoryMB()) * 2 ** 20
  return {
    ociVersion: '1.1.0',
    hostname: 'sandlot',
    process: {
      user: { uid: 0, gid: 0 },
      args: options.process?.args ?? [options.program ? `${GUEST_PATH}/${options.program}` : ENVD_PATH],
      env: [
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        'HOME=/root',
        'E2B_SANDBOX=true',
      ],
      cwd: '/',
      capabilities: {
        bounding: allowed,
        effective: allowed,
        permitted: allowed,
        inheritable: allowed,
      },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1_048_576, soft: 1_048_576 }],
    },
    root: { path: options.emptyDir, readonly: false },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
      { destination: '/sys', type: 'sysfs', source: 'sysfs' },
      { destination: '/dev/shm', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777'] },
      { destination: GUEST_PATH, type: 'bind', source: options.guestDir, options: ['ro', 'rbind'] },
    ],
    linux: {
      namespaces: [
        { type: 'pid' },
        { type: 'ipc' },
        { type: 'uts' },
        { type: 'mount' },
        { type: 'network', ...(options.netnsPath && { path: options.netnsPath }) },
        ...(options.hostId === undefined ? [] : [{ type: 'user' }]),
      ],
      ...idMappings(options.hostId),
      cgroupsPath: options.cgroupsPath,
      resources: {
        // `swap` is memory and swap together: none of it is swapped
        memory: { limit: memoryBytes, ...(options.canLimitSwap && { swap: memoryBytes }) },
        cpu: { quota: options.cpuCount * 100_000, period: 100_000, shares: options.cpuShares },
        pids: { limit: MAX_PROCESSES },
      },
    },
    annotations: {
      'dev.gvisor.spec.rootfs.source': options.imagePath,
      'dev.gvisor.spec.rootfs.type': 'erofs',
      'dev.gvisor.spec.rootfs.overlay': `dir=${options.overlayDir}`,
      'dev.gvisor.spec.rootfs.options': `size=${options.diskSizeMB}m`,
    },
  }
}

/** What the guest calls its users is the kernel's own matter: the host only sees root of this namespace. */
function idMappings(hostID: number | undefined) {
  if (hostID === undefined) return {}
  const mapping = [{ containerID: 0, hostID, size: 1 }]
  return { uidMappings: mapping, gidMappings: mapping }
}
