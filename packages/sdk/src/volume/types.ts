import type { VolumeApiOpts } from './connection.ts'

/** What an entry of a volume is; `UNKNOWN` are sockets, devices, and the like. */
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

/** A volume as lists show it. */
export type VolumeInfo = {
  volumeId: string
  name: string
}

/** A volume with what it takes to reach its content. */
export type VolumeAndToken = VolumeInfo & {
  /** Bearer token of the content API. */
  token: string
  /** Where the content API is, as `api.<domain>`, if that is not the domain of the client. */
  domain?: string
}

/** A file, directory, or symbolic link of a volume. */
export type VolumeEntryStat = {
  name: string
  type: VolumeFileType
  /** Absolute, within the volume. */
  path: string
  /** Bytes. */
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
  /** What a symbolic link points to. */
  target?: string
}

/** Owner and permissions. What is not given stays, or for a new entry is 0, 0, and 0o644 or 0o755. */
export type VolumeMetadataOpts = {
  uid?: number
  gid?: number
  /** Permission bits, for example `0o644`. */
  mode?: number
}

/** How to read a file. */
export type VolumeReadOpts = VolumeApiOpts & {
  /**
   * With `format: 'stream'`: most time in **milliseconds** between two chunks of the server while somebody reads;
   * 0 means no limit. A reader that pauses does not use it up.
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
