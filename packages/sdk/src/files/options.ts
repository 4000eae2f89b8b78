import type { ConnectionOpts, Username } from '../connection-config.ts'

/** Options of every call about files. */
export interface FilesystemRequestOpts extends Partial<Pick<ConnectionOpts, 'requestTimeoutMs' | 'signal'>> {
  /** User whose home relative paths start in, and who owns new files. @default the default user of the template */
  user?: Username
}

/** Options for writing. */
export interface FilesystemWriteOpts extends FilesystemRequestOpts {
  /** Compress the upload. Needs envd 0.5.7; an older one gets the file uncompressed. @default false */
  gzip?: boolean
  /**
   * Send each file as a plain body instead of a form. Needs envd 0.5.7; an older one gets a form.
   *
   * @default true for one file and where a `ReadableStream` is among several, else one form for all
   */
  useOctetStream?: boolean
  /**
   * Kept with every file of the call as extended attributes. Keys are HTTP tokens and come back in lower case, values
   * are printable ASCII. Needs envd 0.6.2.
   */
  metadata?: Record<string, string>
}

/** Options for reading. */
export interface FilesystemReadOpts extends FilesystemRequestOpts {
  /** Let the sandbox compress the download. @default false */
  gzip?: boolean
  /**
   * For `format: 'stream'`: most **milliseconds** without a byte while somebody reads; 0 means no limit.
   *
   * @default the request timeout
   */
  streamIdleTimeoutMs?: number
}

/** Options for listing a directory. */
export interface FilesystemListOpts extends FilesystemRequestOpts {
  /** How deep to look, at least 1: only the directory itself. @default 1 */
  depth?: number
}

/** Options for watching a directory. */
export interface WatchOpts extends FilesystemRequestOpts {
  /** Most time to watch in **milliseconds**; 0 means no limit. @default 60_000 */
  timeoutMs?: number
  /** Called once when watching ends, with the error if there was one. */
  onExit?: (err?: Error) => void | Promise<void>
  /** Also everything below, directories made later included. Needs envd 0.1.4. @default false */
  recursive?: boolean
  /** Tell size, mode and owner with each event whose entry still exists. Needs envd 0.6.3. @default false */
  includeEntry?: boolean
  /** Also on NFS, CIFS, SMB and FUSE, where events may be missing. Needs envd 0.6.4. @default false */
  allowNetworkMounts?: boolean
}

/** One file of several to write. */
export type WriteEntry = {
  path: string
  data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer> | Blob | ReadableStream
}
