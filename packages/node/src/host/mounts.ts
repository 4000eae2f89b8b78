import { closeSync, readFileSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import koffi from 'koffi'

/** From `linux/mount.h` and `linux/fcntl.h`; the numbers of these system calls are the same on every architecture. */
const SYS = { openTree: 428, moveMount: 429, mountSetattr: 442, openTreeAttr: 467 }
const MS = { readOnly: 1, noSuid: 2, noDev: 4, remount: 32, bind: 4096, private: 1 << 18, shared: 1 << 20 }
const MOUNT_ATTR = { readOnly: 1n, noSuid: 2n, noDev: 4n, idMap: 0x10_0000n }
const SIZE_OF_MOUNT_ATTR = 32
const MNT_DETACH = 2
const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2_000_000
const MOVE_MOUNT_F_EMPTY_PATH = 4

/** A mount of this process's namespace. */
export interface MountInfo {
  target: string
  fileSystem: string
  isReadOnly: boolean
  /** Whether mounts below it appear in the copies that other namespaces have of it. */
  isShared: boolean
}

export interface CloneOptions {
  isReadOnly?: boolean
  /** User namespace that maps ids of files (inside) to ids of processes (outside). Default: ids stay as they are. */
  idMap?: { readonly fd: number }
}

const libc = koffi.load(null)
const mount = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
)
const umount2 = libc.func('int umount2(const char *target, int flags)')
// glibc before 2.36 has no functions for these calls
const openTree = libc.func('long syscall(long number, int dir, const char *path, unsigned int flags)')
const mountSetattr = libc.func(
  'long syscall(long number, int dir, const char *path, unsigned int flags, void *attributes, size_t size)',
)
const openTreeAttr = libc.func(
  'long syscall(long number, int dir, const char *path, unsigned int flags, void *attributes, size_t size)',
)
const moveMount = libc.func(
  'long syscall(long number, int from, const char *fromPath, int to, const char *toPath, unsigned int flags)',
)

/** Mounts an empty file system in memory. @param options as mount(8) takes them, e.g. `size=16k,mode=755` */
export function mountTmpfs(target: string, options: string): void {
  checked(mount('tmpfs', target, 'tmpfs', MS.noSuid | MS.noDev, options), 'mount a tmpfs on', target)
}

/** Shows a folder, without the mounts below it, at another path too. */
export function bindMount(source: string, target: string): void {
  checked(mount(source, target, null, MS.bind, null), `bind ${source} to`, target)
}

/** Makes a mount a member of no group, so that mounts below it stay in this namespace. */
export function makePrivate(target: string): void {
  checked(mount(null, target, null, MS.private, null), 'make private', target)
}

/** Lets mounts below it appear in later copies of this mount. */
export function makeShared(target: string): void {
  checked(mount(null, target, null, MS.shared, null), 'make shared', target)
}

/** Makes the file system of a mount read-only. */
export function makeReadOnly(target: string): void {
  const flags = MS.remount | MS.readOnly | MS.noSuid | MS.noDev
  checked(mount(null, target, null, flags, null), 'make read-only', target)
}

/**
 * Mounts a folder at another path with `nosuid,nodev`. All properties are set before the mount is visible anywhere: a
 * copy of it in another namespace would keep what it was mounted with.
 * @throws Error, e.g. EINVAL when the file system cannot map ids
 */
export function cloneMount(
  directory: string,
  target: string,
  { isReadOnly = false, idMap }: CloneOptions = {},
): void {
  const attributes = Buffer.alloc(SIZE_OF_MOUNT_ATTR)
  const { noSuid, noDev, readOnly, idMap: mapped } = MOUNT_ATTR
  attributes.writeBigUInt64LE(noSuid | noDev | (isReadOnly ? readOnly : 0n) | (idMap ? mapped : 0n), 0)
  attributes.writeBigUInt64LE(BigInt(idMap?.fd ?? 0), 24)
  const tree = cloneTree(directory, attributes)
  try {
    const moved = moveMount(SYS.moveMount, tree, '', AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
    checked(moved, `mount ${directory} on`, target)
  } finally {
    closeSync(tree)
  }
}

/** Copies a mount, without a place. @returns its file descriptor */
function cloneTree(directory: string, attributes: Buffer): number {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
  const tree = Number(openTree(SYS.openTree, AT_FDCWD, directory, flags))
  checked(tree, 'open', directory)
  if (mountSetattr(SYS.mountSetattr, tree, '', AT_EMPTY_PATH, attributes, SIZE_OF_MOUNT_ATTR) === 0)
    return tree
  const errno = koffi.errno()
  closeSync(tree)
  const code = getSystemErrorName(-errno)
  // the ids of the folder are mapped already: since Linux 6.15 a copy may have another mapping
  if (code !== 'EPERM') throw new Error(`cannot set options of ${directory}: ${code}`)
  const { openTreeAttr: number } = SYS
  const replaced = Number(openTreeAttr(number, AT_FDCWD, directory, flags, attributes, SIZE_OF_MOUNT_ATTR))
  checked(replaced, 'set options of', directory)
  return replaced
}

/**
 * Unmounts `target` and all mounts below it from all namespaces; open files stay usable until they are closed.
 * @returns false when it is not a mount
 */
export function detachMount(target: string): boolean {
  if (umount2(target, MNT_DETACH) === 0) return true
  const code = getSystemErrorName(-koffi.errno())
  if (code === 'EINVAL' || code === 'ENOENT') return false
  throw new Error(`cannot unmount ${target}: ${code}`)
}

/** The last detachment in the background: one thread is enough, as Linux makes them wait for each other. */
let detaching: Promise<unknown> = Promise.resolve()

/**
 * Like `detachMount`, for a folder with any number of mounts, without blocking this thread: Linux waits some milliseconds
 * for all processors. What cannot be unmounted stays a mount.
 */
export function detachMounts(target: string): Promise<void> {
  const running = detaching.then(async () => {
    while ((await detachInThread(target)) === 0);
  })
  detaching = running.catch(() => {})
  return running
}

function detachInThread(target: string): Promise<number> {
  return new Promise((resolve, reject) => {
    umount2.async(target, MNT_DETACH, (error: Error | null, result: number) =>
      error ? reject(error) : resolve(result),
    )
  })
}

/** Lists the mounts at and below a folder, in the order in which they were made. */
export function mountsIn(dir: string): MountInfo[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => toMountInfo(line) ?? [])
    .filter(({ target }) => target === dir || target.startsWith(`${dir}/`))
}

/** Parses a line of proc(5) mountinfo: ids, device, root, target, options, optional fields, `-`, type, … */
function toMountInfo(line: string): MountInfo | undefined {
  const [before = '', after = ''] = line.split(' - ')
  const [, , , , target, options = '', ...fields] = before.split(' ')
  if (!target) return undefined
  return {
    target: target.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
    fileSystem: after.split(' ')[0]!,
    isReadOnly: options.split(',').includes('ro'),
    isShared: fields.some((field) => field.startsWith('shared:')),
  }
}

function checked(result: number, what: string, path: string): void {
  if (result < 0) throw new Error(`cannot ${what} ${path}: ${getSystemErrorName(-koffi.errno())}`)
}
