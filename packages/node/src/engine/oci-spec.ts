import type { BuildResources } from '@sandlot/protocol/node'
import { machineMemoryMB } from '../machines/capacity.ts'
import type { IdRange } from '../machines/host-ids.ts'

/** Capabilities that developers expect of a container with root and sudo; they only apply inside gVisor. */
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
/** Where the host's folder `guestDir` is mounted inside. */
const GUEST_PATH = '/opt/sandlot'
/** Where the slots for volumes are inside: folders that the host mounts volumes into (`volumes/slot-mounts.ts`). */
const VOLUMES_PATH = '/run/sandlot/volumes'
/**
 * Version of what a checkpoint contains because of its spec. A base build or template with another version is made
 * again; sandboxes and snapshots start as they are. Since 2 a machine has slots for volumes.
 */
export const SPEC_VERSION = 2
/** The first process of every machine of a sandbox. */
export const ENVD_PATH = `${GUEST_PATH}/envd`

export interface SpecOptions extends BuildResources {
  imagePath: string
  /** Read-only folder with the `envd` binary, mounted at /opt/sandlot. */
  guestDir: string
  /** Program in `guestDir` to run as the first process. Default: envd. */
  program?: string
  /**
   * Folder for the backing files of writable layers. All machines share one folder, because runsc compares the path at a
   * restore.
   */
  overlayDir: string
  /** Any empty folder: an EROFS root hides it. */
  emptyDir: string
  /** Folder with the machine's slots for volumes. Mounts that the host makes below it appear inside. */
  volumesDir: string
  /** Absent: the machine has no network device. */
  netnsPath?: string
  cgroupsPath: string
  cpuShares: number
  /** Process to run instead of envd's daemon, with these capabilities only. */
  process?: { args: string[]; capabilities: string[] }
  /** User and group of kernel and gofer on this host. Default: those of the server, in a separate user namespace. */
  hostId?: number
  /** Ids that users of the guest have on this host. Default: none, so that only root can own files of volumes. */
  guestIds?: IdRange
  /** Whether to limit swap; runsc fails when the host's kernel cannot. */
  canLimitSwap: boolean
}

/**
 * Returns the OCI runtime spec of a machine: an EROFS root, a read-only bind mount, and one for volumes. Bind mounts make
 * runsc start a gofer, without which a disk-backed overlay on an EROFS root panics (docs/adr/0002).
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
      {
        destination: VOLUMES_PATH,
        type: 'bind',
        source: options.volumesDir,
        options: ['rw', 'rbind', 'rslave'],
      },
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
      ...idMappings(options),
      cgroupsPath: options.cgroupsPath,
      resources: {
        // `swap` is memory and swap together: an equal limit disables swap
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

/**
 * Maps root to the id of the kernel. Files of the root file system exist inside the guest's kernel alone; the ids of other
 * users are only needed for files of volumes.
 */
function idMappings({ hostId, guestIds }: Pick<SpecOptions, 'hostId' | 'guestIds'>) {
  if (hostId === undefined) return {}
  const mappings = [{ containerID: 0, hostID: hostId, size: 1 }]
  if (guestIds) mappings.push({ containerID: 1, hostID: guestIds.first + 1, size: guestIds.count - 1 })
  return { uidMappings: mappings, gidMappings: mappings }
}
