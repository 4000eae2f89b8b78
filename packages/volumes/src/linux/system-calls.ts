import { constants } from 'node:fs'
import koffi from 'koffi'

/** Numbers from `asm-generic/unistd.h`; system calls of this age have one number on all architectures. */
const SYS_OPEN_TREE = 428
const SYS_MOVE_MOUNT = 429
const SYS_OPENAT2 = 437
const SYS_MOUNT_SETATTR = 442

const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const AT_RECURSIVE = 0x8000
const OPEN_TREE_CLONE = 1
const OPEN_TREE_CLOEXEC = 0o2000000
const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_NOSUID = 0x2
const MOUNT_ATTR_NODEV = 0x4
const MOUNT_ATTR_IDMAP = 0x100000
const MS_PRIVATE = 0x40000
const MS_BIND = 0x1000
const MNT_DETACH = 2
const UMOUNT_NOFOLLOW = 8

/** Flags of `open` that Node does not name (`asm-generic/fcntl.h`). */
export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000

/** Flags of `openat2` for how paths are resolved (`linux/openat2.h`). */
export const RESOLVE_NO_XDEV = 0x01
export const RESOLVE_NO_MAGICLINKS = 0x02
export const RESOLVE_NO_SYMLINKS = 0x04
export const RESOLVE_BENEATH = 0x08
export const RESOLVE_IN_ROOT = 0x10

const ERROR_NAMES: Record<number, string> = {
  1: 'EPERM',
  2: 'ENOENT',
  5: 'EIO',
  11: 'EAGAIN',
  13: 'EACCES',
  16: 'EBUSY',
  17: 'EEXIST',
  18: 'EXDEV',
  20: 'ENOTDIR',
  21: 'EISDIR',
  22: 'EINVAL',
  23: 'ENFILE',
  24: 'EMFILE',
  28: 'ENOSPC',
  36: 'ENAMETOOLONG',
  40: 'ELOOP',
  75: 'EOVERFLOW',
  95: 'EOPNOTSUPP',
  107: 'ENOTCONN',
  116: 'ESTALE',
  122: 'EDQUOT',
}

/** An error as those of `node:fs`: `code` is the name of the error number. */
function systemError(call: string, errno: number): NodeJS.ErrnoException {
  const code = ERROR_NAMES[errno] ?? `errno ${errno}`
  return Object.assign(new Error(`${code}: ${call}`), { code, errno: -errno, syscall: call })
}

const libc = koffi.load(null)
koffi.struct('open_how', { flags: 'uint64', mode: 'uint64', resolve: 'uint64' })
koffi.struct('mount_attr', {
  attr_set: 'uint64',
  attr_clr: 'uint64',
  propagation: 'uint64',
  userns_fd: 'uint64',
})

const syscallOpenat2 = libc.func(
  'long syscall(long number, int directory, const char *path, open_how *how, size_t size)',
)
const syscallOpenTree = libc.func(
  'long syscall(long number, int directory, const char *path, unsigned int flags)',
)
const syscallMoveMount = libc.func(
  'long syscall(long number, int from, const char *fromPath, int to, const char *toPath, unsigned int flags)',
)
const syscallMountSetattr = libc.func(
  'long syscall(long number, int directory, const char *path, unsigned int flags, mount_attr *attributes, size_t size)',
)
const libcMount = libc.func(
  'int mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)',
)
const libcUmount = libc.func('int umount2(const char *target, int flags)')

interface AsyncFunction {
  async(...args: unknown[]): unknown
}

/** Calls in a thread, so that a file system that hangs does not stop this process. */
function call(name: string, func: AsyncFunction, ...args: unknown[]): Promise<number> {
  return new Promise((resolve, reject) => {
    func.async(...args, (error: unknown, result: number) => {
      if (error) reject(error as Error)
      else if (result < 0) reject(systemError(name, koffi.errno()))
      else resolve(result)
    })
  })
}

/**
 * Opens a path below an open directory.
 * @param path must not contain a null byte
 * @param resolve the `RESOLVE_…` flags
 * @returns a file descriptor that the caller closes @throws with a `code` as those of `node:fs`
 */
export async function openat2(
  directory: number,
  path: Buffer,
  flags: number,
  resolve: number,
): Promise<number> {
  const how = { flags: flags | O_CLOEXEC, mode: 0, resolve }
  const terminated = Buffer.concat([path, Buffer.of(0)])
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call('openat2', syscallOpenat2, SYS_OPENAT2, directory, terminated, how, 24)
    } catch (error) {
      // the kernel cannot tell whether a path left its root while something was renamed: the caller is to try again
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || attempt >= 100) throw error
    }
  }
}

/**
 * Mounts a copy of the mount at `source` on `target`, with nosuid and nodev.
 * @param userNamespace open user namespace whose map is applied to the ids of the files. Absent: ids stay as they are
 */
export async function mountCopy(
  source: string,
  target: string,
  userNamespace: number | undefined,
): Promise<void> {
  const flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
  const tree = await call('open_tree', syscallOpenTree, SYS_OPEN_TREE, AT_FDCWD, source, flags)
  try {
    const attributes = {
      attr_set: MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (userNamespace === undefined ? 0 : MOUNT_ATTR_IDMAP),
      attr_clr: 0,
      propagation: MS_PRIVATE,
      userns_fd: userNamespace ?? 0,
    }
    const at = AT_EMPTY_PATH | AT_RECURSIVE
    await call('mount_setattr', syscallMountSetattr, SYS_MOUNT_SETATTR, tree, '', at, attributes, 32)
    await call(
      'move_mount',
      syscallMoveMount,
      SYS_MOVE_MOUNT,
      tree,
      '',
      AT_FDCWD,
      target,
      MOVE_MOUNT_F_EMPTY_PATH,
    )
  } finally {
    closeDescriptor(tree)
  }
}

const closeDescriptor = libc.func('int close(int fd)')

/** Mounts a block device. */
export async function mountDevice(
  device: string,
  target: string,
  type: string,
  flags: number,
  data: string,
): Promise<void> {
  await call('mount', libcMount, device, target, type, flags, data)
}

/** Makes a folder a mount of its own that does not exchange mounts with others. */
export async function makePrivateMount(folder: string): Promise<void> {
  await call('mount', libcMount, folder, folder, null, MS_BIND, null)
  await call('mount', libcMount, null, folder, null, MS_PRIVATE, null)
}

/** Takes a mount out of the tree at once; it ends when nothing uses it any more. A mount that is gone already resolves. */
export async function unmountLazily(target: string): Promise<void> {
  try {
    await call('umount2', libcUmount, target, MNT_DETACH | UMOUNT_NOFOLLOW)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'EINVAL' && code !== 'ENOENT') throw error
  }
}

/** Options of a mount (`linux/mount.h`). */
export const MS_NOSUID = 2
export const MS_NODEV = 4
export const MS_NOATIME = 1024

/** Path of an open file or folder of this process. Names may be appended after a slash. */
export const pathOf = (descriptor: number): string => `/proc/self/fd/${descriptor}`

export const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY
