import type { ConnectionOpts, Username } from '../connection-config.ts'

/** Options of every call about files. */
export interface FilesystemRequestOpts extends Partial<Pick<ConnectionOpts, 'requestTimeoutMs' | 'signal'>> {
  /**
   * User whose home directory relative paths start in, and that owns new files.
   *
   * @default the default user of the template
   */
  user?: Username
}

/** Options for writing. */
export interface FilesystemWriteOpts extends FilesystemRequestOpts {
  /** Compress the upload. Needs envd 0.5.7; an older envd gets the file uncompressed. @default false */
  gzip?: boolean
  /**
   * Send each file as a plain body instead of a form. Needs envd 0.5.7; an older envd gets a form.
   *
   * @default true for a single file, and when one of several is a `ReadableStream`; otherwise one form for all files
   */
  useOctetStream?: boolean
  /**
   * Metadata stored with every file of the call as extended attributes. Keys are HTTP tokens and are returned in lower
   * case, values are printable ASCII. Needs envd 0.6.2.
   */
  metadata?: Record<string, string>
}

/** Options for reading. */
export interface FilesystemReadOpts extends FilesystemRequestOpts {
  /** Let the sandbox compress the download. @default false */
  gzip?: boolean
  /**
   * For `format: 'stream'`: timeout in **milliseconds** of a pending read without data; 0 means no limit.
   *
   * @default the request timeout
   */
  streamIdleTimeoutMs?: number
}

/** Options for listing a directory. */
export interface FilesystemListOpts extends FilesystemRequestOpts {
  /** Number of directory levels, at least 1; 1 lists only the directory itself. @default 1 */
  depth?: number
}

/** Options for watching a directory. */
export interface WatchOpts extends FilesystemRequestOpts {
  /** Time in **milliseconds** after which watching ends; 0 means no limit. @default 60_000 */
  timeoutMs?: number
  /** Called once when watching ends, with the error if there was one. */
  onExit?: (err?: Error) => void | Promise<void>
  /** Also watch subdirectories, including those created later. Needs envd 0.1.4. @default false */
  recursive?: boolean
  /** Add size, mode and owner to each event whose entry still exists. Needs envd 0.6.3. @default false */
  includeEntry?: boolean
  /** Allow watching on NFS, CIFS, SMB and FUSE, where events may be missing. Needs envd 0.6.4. @default false */
  allowNetworkMounts?: boolean
}

/** One file of several to write. */
export type WriteEntry = {
  path: string
  data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer> | Blob | ReadableStream
}
