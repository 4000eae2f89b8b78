import { close, constants, fstat, type Stats } from 'node:fs'
import { promisify } from 'node:util'
import {
  DIRECTORY,
  O_PATH,
  openat2,
  pathOf,
  RESOLVE_BENEATH,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from '../linux/system-calls.ts'
import type { VolumePath } from './volume-path.ts'

const SLASH = Buffer.from('/')
/** Links are resolved as if the open folder were `/`, and nothing leads out of it, whatever is renamed meanwhile. */
const INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
/** Links are not followed at all. */
const DIRECTLY = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV

export const closeDescriptor = promisify(close)
export const statDescriptor = promisify(fstat) as (descriptor: number) => Promise<Stats>

/** Opens the folder at a path; links in the path, the last one included, are resolved inside `root`. */
export const openFolder = (root: number, path: VolumePath): Promise<number> =>
  openat2(root, path.relative, DIRECTORY, INSIDE)

/** Opens the folder of this name in an open folder, never a link to one, and never another file system. */
export const openChildFolder = (parent: number, name: Buffer): Promise<number> =>
  openat2(parent, name, DIRECTORY | constants.O_NOFOLLOW, DIRECTLY)

/** Opens an entry to describe or to change it, not its content: a device or a pipe is not touched. Links are resolved inside `root`. */
export const openEntry = (root: number, path: VolumePath): Promise<number> =>
  openat2(root, path.relative, O_PATH, INSIDE)

/** Opens the entry of this name as `openEntry` does, but a link is opened itself. */
export const openChild = (parent: number, name: Buffer): Promise<number> =>
  openat2(
    parent,
    name,
    O_PATH | constants.O_NOFOLLOW,
    RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
  )

/**
 * Path of an entry of an open folder, for functions of `node:fs` that do not follow a link at the end of a path.
 * @param name one name, neither `.` nor `..`
 */
export const pathIn = (folder: number, name: Buffer): Buffer =>
  Buffer.concat([Buffer.from(pathOf(folder)), SLASH, name])

/** Opens, works, and closes. */
export async function withDescriptor<T>(
  opening: Promise<number>,
  work: (descriptor: number) => Promise<T>,
): Promise<T> {
  const descriptor = await opening
  try {
    return await work(descriptor)
  } finally {
    await closeDescriptor(descriptor)
  }
}
