import { constants } from 'node:fs'
import { callInThread, libc } from '@sandlot/linux'
import koffi from 'koffi'

/** From `asm-generic/unistd.h`; system calls of this age have one number on all architectures. */
const SYS_OPENAT2 = 437
const SIZE_OF_OPEN_HOW = 24
/** How often a path is resolved again that was renamed meanwhile. */
const MAX_TRIES = 100

/** Flags of `open` that Node does not name (`asm-generic/fcntl.h`). */
export const O_CLOEXEC = 0o2000000
export const O_PATH = 0o10000000

/** Flags of `openat2` for how paths are resolved (`linux/openat2.h`). */
export const RESOLVE_NO_XDEV = 0x01
export const RESOLVE_NO_MAGICLINKS = 0x02
export const RESOLVE_NO_SYMLINKS = 0x04
export const RESOLVE_BENEATH = 0x08
export const RESOLVE_IN_ROOT = 0x10

/** `struct open_how`; without a name, of which a process can have only one. */
const OPEN_HOW = koffi.struct({ flags: 'uint64', mode: 'uint64', resolve: 'uint64' })
const syscallOpenat2 = libc.func('syscall', 'long', [
  'long',
  'int',
  'const char *',
  koffi.pointer(OPEN_HOW),
  'size_t',
])

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
  const args = [SYS_OPENAT2, directory, terminated, how, SIZE_OF_OPEN_HOW]
  for (let tries = 1; ; tries += 1) {
    try {
      return await callInThread('open a path of a volume', syscallOpenat2, ...args)
    } catch (error) {
      // the kernel cannot tell whether a path left its root while something was renamed: the caller is to try again
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || tries > MAX_TRIES) throw error
    }
  }
}

/** Path of an open file or folder of this process. Names may be appended after a slash. */
export const pathOf = (descriptor: number): string => `/proc/self/fd/${descriptor}`

export const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY
