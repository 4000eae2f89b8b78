import { isUtf8 } from 'node:buffer'
import type { Stats } from 'node:fs'
import { lstat, readlink } from 'node:fs/promises'
import type { VolumeEntry, VolumeEntryType } from '@sandlot/protocol/node'
import { codeOf } from '../errors.ts'
import { pathIn } from './descriptors.ts'
import type { VolumePath } from './volume-path.ts'

const PERMISSIONS = 0o7777

/** Describes the entry of an open folder; a link is described itself. @throws ENOENT */
export async function entryIn(folder: number, path: VolumePath): Promise<VolumeEntry> {
  const location = pathIn(folder, path.name)
  const stats = await lstat(location)
  const entry = entryOf(stats, path)
  if (entry.type !== 'symlink') return entry
  // the link may have been replaced since
  const target = await readlink(location).catch((error: unknown) => {
    if (codeOf(error) === 'EINVAL') return ''
    throw error
  })
  return { ...entry, target }
}

export function entryOf(stats: Stats, path: VolumePath): VolumeEntry {
  const bytes = path.absolute
  return {
    name: path.name.toString(),
    type: typeOf(stats),
    path: bytes.toString(),
    ...(!isUtf8(bytes) && { pathBytes: bytes.toString('base64') }),
    sizeBytes: stats.size,
    mode: stats.mode & PERMISSIONS,
    uid: stats.uid,
    gid: stats.gid,
    atimeMs: stats.atimeMs,
    mtimeMs: stats.mtimeMs,
    ctimeMs: stats.ctimeMs,
  }
}

function typeOf(stats: Stats): VolumeEntryType {
  if (stats.isFile()) return 'file'
  if (stats.isDirectory()) return 'directory'
  return stats.isSymbolicLink() ? 'symlink' : 'unknown'
}
