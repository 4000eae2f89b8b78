import type { VolumeApiOpts } from './connection.ts'

/** Type of an entry of a volume; `UNKNOWN` stands for sockets, devices, and the like. */
export const VolumeFileType = {
  UNKNOWN: 'unknown',
  FILE: 'file',
  DIRECTORY: 'directory',
  SYMLINK: 'symlink',
} as const
export type VolumeFileType = (typeof VolumeFileType)[keyof typeof VolumeFileType]
export declare namespace VolumeFileType {
  type UNKNOWN = typeof VolumeFileType.UNKNOWN
  type FILE = typeof VolumeFileType.FILE
  type DIRECTORY = typeof VolumeFileType.DIRECTORY
  type SYMLINK = typeof VolumeFileType.SYMLINK
}

/** A volume as returned in lists. Only a Sandlot sends more than the id and the name. */
export type VolumeInfo = {
  volumeId: string
  name: string
  /** Size in MB. Writes beyond it fail, unless `isSizeLimited` of {@link VolumeAndToken} is false. */
  sizeMB?: number
  createdAt?: Date
  /** Id of the volume that this is a snapshot of: its files stay as they are. */
  snapshotOf?: string
}

/** A deleted volume that `Volume.restore` brings back. */
export type DeletedVolumeInfo = VolumeInfo & {
  deletedAt: Date
  /** From then on it cannot be restored. */
  removedAt: Date
}

/** A volume with the address and token of its content. */
export type VolumeAndToken = VolumeInfo & {
  /** Bearer token of the content API. */
  token: string
  /** Domain of the content API, `api.<domain>`, if it is not the domain of the client. */
  domain?: string
  /** Disk that the files take, in MB; absent where the server cannot tell, as for volumes that are folders. */
  usedMB?: number
  /** Whether writes beyond `sizeMB` fail: false for volumes that are folders of a larger file system. */
  isSizeLimited?: boolean
}

/** A file, directory, or symbolic link of a volume. */
export type VolumeEntryStat = {
  name: string
  type: VolumeFileType
  /** Absolute path within the volume. */
  path: string
  /** Size in bytes. */
  size: number
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  /** When it was last read. */
  atime: Date
  /** When its content last changed. */
  mtime: Date
  /** When its metadata last changed. */
  ctime: Date
  /** Target of a symbolic link. */
  target?: string
}

/**

 * Owner and permissions. Omitted values stay unchanged; for a new entry they are uid 0, gid 0, and mode 0o644 for files
 * or 0o755 for directories.
 */
export type VolumeMetadataOpts = {
  uid?: number
  gid?: number
  /** Permission bits, for example `0o644`. */
  mode?: number
}

/** How to read a file. */
export type VolumeReadOpts = VolumeApiOpts & {
  /**
   * With `format: 'stream'`: timeout in **milliseconds** of a pending read without data; 0 means no limit. Pauses of
   * the reader do not count.
   *
   * @default the request timeout
   */
  streamIdleTimeoutMs?: number
}

/** How to write a file or make a directory. */
export type VolumeWriteOpts = VolumeMetadataOpts & {
  /** Overwrites an existing file; creates missing parents of a directory. @default false */
  force?: boolean
}

/** @deprecated Use {@link VolumeMetadataOpts}. */
export type VolumeMetadataOptions = VolumeMetadataOpts

/** @deprecated Use {@link VolumeWriteOpts}. */
export type VolumeWriteOptions = VolumeWriteOpts
