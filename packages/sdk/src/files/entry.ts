import { timestampDate } from '@bufbuild/protobuf/wkt'
import { type EntryInfo as WireEntry, FileType as WireFileType } from '../gen/filesystem/filesystem_pb.js'

/** Type of the entry at a path. */
export const FileType = {
  FILE: 'file',
  DIR: 'dir',
  SYMLINK: 'symlink',
} as const
export type FileType = (typeof FileType)[keyof typeof FileType]
export declare namespace FileType {
  type FILE = 'file'
  type DIR = 'dir'
  type SYMLINK = 'symlink'
}

/** Information about a file that was just written. */
export interface WriteInfo {
  /** Last part of the path. */
  name: string
  type?: FileType
  /** Absolute path. */
  path: string
  /** Extended attributes `user.e2b.*` of the file, without the prefix; undefined when it has none. */
  metadata?: Record<string, string>
}

/** Information about a file or directory. */
export interface EntryInfo extends WriteInfo {
  /** Size in bytes. */
  size: number
  /** Permission bits. */
  mode: number
  /** Permissions as text, for example `-rw-r--r--`. */
  permissions: string
  owner: string
  group: string
  modifiedTime?: Date
  /** Target of a symbolic link, as an absolute path. */
  symlinkTarget?: string
}

const typeNames: Partial<Record<WireFileType, FileType>> = {
  [WireFileType.FILE]: FileType.FILE,
  [WireFileType.DIRECTORY]: FileType.DIR,
  [WireFileType.SYMLINK]: FileType.SYMLINK,
}

export function toEntryInfo(entry: WireEntry): EntryInfo {
  const type = typeNames[entry.type]
  const hasMetadata = Object.keys(entry.metadata).length > 0
  return {
    name: entry.name,
    ...(type && { type }),
    path: entry.path,
    size: Number(entry.size),
    mode: entry.mode,
    permissions: entry.permissions,
    owner: entry.owner,
    group: entry.group,
    ...(entry.modifiedTime && { modifiedTime: timestampDate(entry.modifiedTime) }),
    ...(entry.symlinkTarget !== undefined && { symlinkTarget: entry.symlinkTarget }),
    ...(hasMetadata && { metadata: entry.metadata }),
  }
}
