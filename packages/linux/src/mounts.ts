import { close } from 'node:fs'
import { promisify } from 'node:util'
import koffi from 'koffi'
import { callInThread, checked, errorNameOf, libc } from './system-calls.ts'

/** From `linux/mount.h` and `linux/fcntl.h`; the numbers of these system calls are the same on every architecture. */
const SYS = { openTree: 428, moveMount: 429, mountSetattr: 442, openTreeAttr: 467 }
const MS = { readOnly: 1, noSuid: 2, noDev: 4, remount: 32, bind: 4096, private: 1 << 18, shared: 1 << 20 }
const MOUNT_ATTR = { readOnly: 1n, noSuid: 2n, noDev: 4n, idMap: 0x10_0000n }
const SIZE_OF_MOUNT_ATTR = 32
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8
const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2_000_000
const MOVE_MOUNT_F_EMPTY_PATH = 4

export interface CloneOptions {
  isReadOnly?: boolean
  /** User namespace that maps ids of files (inside) to ids of processes (outside). Default: ids stay as they are. */
  idMap?: { readonly fd: number }
}

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
const closeDescriptor = promisify(close)

/** Mounts an empty file system in memory. @param options as mount(8) takes them, e.g. `size=16k,mode=755` */
export function mountTmpfs(target: string, options: string): void {
  checked(mount('tmpfs', target, 'tmpfs', MS.noSuid | MS.noDev, options), `mount a tmpfs on ${target}`)
}

/** Shows a folder, without the mounts below it, at another path too. */
export function bindMount(source: string, target: string): void {
  checked(mount(source, target, null, MS.bind, null), `bind ${source} to ${target}`)
}

/** Makes a mount a member of no group, so that mounts below it stay in this namespace. */
export function makePrivate(target: string): void {
  checked(mount(null, target, null, MS.private, null), `make ${target} private`)
}

/** Lets mounts below it appear in later copies of this mount. */
export function makeShared(target: string): void {
  checked(mount(null, target, null, MS.shared, null), `make ${target} shared`)
}

/** Makes the file system of a mount read-only. */
export function makeReadOnly(target: string): void {
  const flags = MS.remount | MS.readOnly | MS.noSuid | MS.noDev
  checked(mount(null, target, null, flags, null), `make ${target} read-only`)
}

/** Mounts a block device with `nosuid,nodev`. @param options of the type of file system, as mount(8) takes them */
export async function mountDevice(
  device: string,
  target: string,
  type: string,
  options: string,
): Promise<void> {
  const flags = MS.noSuid | MS.noDev
  await callInThread(`mount ${device} on ${target}`, mount, device, target, type, flags, options)
}

/**
 * Mounts a folder at another path with `nosuid,nodev`, as a member of no group. All properties are set before the mount is
 * visible anywhere: a copy of it in another namespace would keep what it was mounted with.
 * @throws Error with a `code`: EINVAL when the file system cannot map ids
 */
export async function cloneMount(
  directory: string,
  target: string,
  options: CloneOptions = {},
): Promise<void> {
  const tree = await cloneTree(directory, attributesOf(options))
  try {
    const to = [AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH]
    await callInThread(`mount ${directory} on ${target}`, moveMount, SYS.moveMount, tree, '', ...to)
  } finally {
    await closeDescriptor(tree)
  }
}

/** Fills a `struct mount_attr`. */
function attributesOf({ isReadOnly = false, idMap }: CloneOptions): Buffer {
  const attributes = Buffer.alloc(SIZE_OF_MOUNT_ATTR)
  const { noSuid, noDev, readOnly, idMap: mapped } = MOUNT_ATTR
  attributes.writeBigUInt64LE(noSuid | noDev | (isReadOnly ? readOnly : 0n) | (idMap ? mapped : 0n), 0)
  attributes.writeBigUInt64LE(BigInt(MS.private), 16)
  attributes.writeBigUInt64LE(BigInt(idMap?.fd ?? 0), 24)
  return attributes
}

/** Whether mounts of the file system of a folder can map ids. NFS, overlayfs and most of FUSE cannot. */
export async function canMapIds(directory: string, idMap: { readonly fd: number }): Promise<boolean> {
  try {
    await closeDescriptor(await cloneTree(directory, attributesOf({ idMap })))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return false
    throw error
  }
}

/** Copies a mount, without a place. @returns its file descriptor */
async function cloneTree(directory: string, attributes: Buffer): Promise<number> {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
  const size = SIZE_OF_MOUNT_ATTR
  const { openTree: number } = SYS
  const tree = await callInThread(`open ${directory}`, openTree, number, AT_FDCWD, directory, flags)
  const what = `set options of ${directory}`
  try {
    await callInThread(what, mountSetattr, SYS.mountSetattr, tree, '', AT_EMPTY_PATH, attributes, size)
    return tree
  } catch (error) {
    await closeDescriptor(tree)
    // the ids of the folder are mapped already: since Linux 6.15 a copy may have another mapping
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error
  }
  return callInThread(what, openTreeAttr, SYS.openTreeAttr, AT_FDCWD, directory, flags, attributes, size)
}

/**
 * Unmounts `target` and all mounts below it from all namespaces; open files stay usable until they are closed.
 * @returns false when it is not a mount
 */
export function detachMount(target: string): boolean {
  if (umount2(target, MNT_DETACH | UMOUNT_NOFOLLOW) === 0) return true
  const errno = koffi.errno()
  if (isNoMount(errorNameOf(errno))) return false
  checked(-1, `unmount ${target}`)
  return false
}

/** Like `detachMount`, without blocking this thread: Linux waits some milliseconds for all processors. */
export async function unmountLazily(target: string): Promise<boolean> {
  try {
    await callInThread(`unmount ${target}`, umount2, target, MNT_DETACH | UMOUNT_NOFOLLOW)
    return true
  } catch (error) {
    if (isNoMount((error as NodeJS.ErrnoException).code)) return false
    throw error
  }
}

const isNoMount = (code: string | undefined): boolean => code === 'EINVAL' || code === 'ENOENT'

/** The last detachment in the background: one thread is enough, as Linux makes them wait for each other. */
let detaching: Promise<unknown> = Promise.resolve()

/** Unmounts a folder with any number of mounts, in the background. @throws Error with a `code` */
export function detachMounts(target: string): Promise<void> {
  const running = detaching.then(async () => {
    while (await unmountLazily(target));
  })
  detaching = running.catch(() => {})
  return running
}
