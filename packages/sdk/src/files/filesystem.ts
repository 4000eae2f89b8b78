import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect'
import type { ConnectionConfig } from '../connection-config.ts'
import type { Envd } from '../envd/envd.ts'
import { openStream, streamHeaders } from '../envd/event-stream.ts'
import { restErrorOf } from '../envd/rest-error.ts'
import { rpcErrorAfterProbe } from '../envd/rpc-error.ts'
import { FileNotFoundError, InvalidArgumentError, TemplateError } from '../errors.ts'
import { Filesystem as FilesystemService } from '../gen/filesystem/filesystem_pb.js'
import { type EntryInfo, toEntryInfo, type WriteInfo } from './entry.ts'
import { withIdleTimeout } from './idle-timeout.ts'
import { metadataHeaders } from './metadata.ts'
import type {
  FilesystemListOpts,
  FilesystemReadOpts,
  FilesystemRequestOpts,
  FilesystemWriteOpts,
  WatchOpts,
  WriteEntry,
} from './options.ts'
import { upload } from './upload.ts'
import { type FilesystemEvent, WatchHandle } from './watch-handle.ts'

const DEFAULT_WATCH_TIMEOUT_MS = 60_000

/** Reads, writes and watches the files of the sandbox. Relative paths begin in the home of the user. */
export class Filesystem {
  private readonly envd: Envd
  private readonly config: ConnectionConfig
  private readonly rpc: Client<typeof FilesystemService>

  /** @internal */
  constructor(envd: Envd, config: ConnectionConfig) {
    this.envd = envd
    this.config = config
    this.rpc = createClient(FilesystemService, envd.transport)
  }

  /**
   * Reads a file as text.
   *
   * @throws {@link FileNotFoundError} when the file does not exist
   * @example
   * ```ts
   * const text = await sandbox.files.read('notes.txt')
   * ```
   */
  async read(path: string, opts?: FilesystemReadOpts & { format?: 'text' }): Promise<string>
  /** Reads a file as bytes. @throws {@link FileNotFoundError} when the file does not exist */
  async read(path: string, opts?: FilesystemReadOpts & { format: 'bytes' }): Promise<Uint8Array>
  /** Reads a file as a `Blob`. @throws {@link FileNotFoundError} when the file does not exist */
  async read(path: string, opts?: FilesystemReadOpts & { format: 'blob' }): Promise<Blob>
  /**
   * Reads a file as a stream. The request timeout applies until the answer starts, `streamIdleTimeoutMs` afterwards.
   * Read the stream to its end or cancel it, as it holds a connection until then.
   *
   * @throws {@link FileNotFoundError} when the file does not exist
   */
  async read(
    path: string,
    opts?: FilesystemReadOpts & { format: 'stream' },
  ): Promise<ReadableStream<Uint8Array>>
  async read(
    path: string,
    opts: FilesystemReadOpts & { format?: 'text' | 'bytes' | 'blob' | 'stream' } = {},
  ): Promise<string | Uint8Array | Blob | ReadableStream<Uint8Array>> {
    if (opts.format === 'stream') return await this.readStream(path, opts)
    const response = await this.download(path, opts, this.signalOf(opts))
    if (opts.format === 'bytes') return new Uint8Array(await response.arrayBuffer())
    if (opts.format === 'blob') return await response.blob()
    return await response.text()
  }

  /**
   * Writes a file. Replaces an existing file, and creates missing parent directories.
   *
   * @example
   * ```ts
   * await sandbox.files.write('data/in.json', JSON.stringify({ a: 1 }))
   * ```
   */
  async write(path: string, data: WriteEntry['data'], opts?: FilesystemWriteOpts): Promise<WriteInfo>
  /** Writes several files. Replaces existing files, and creates missing parent directories. */
  async write(files: WriteEntry[], opts?: FilesystemWriteOpts): Promise<WriteInfo[]>
  async write(
    pathOrFiles: string | WriteEntry[],
    dataOrOpts?: WriteEntry['data'] | FilesystemWriteOpts,
    opts?: FilesystemWriteOpts,
  ): Promise<WriteInfo | WriteInfo[]> {
    if (Array.isArray(pathOrFiles))
      return await this.writeFiles(pathOrFiles, dataOrOpts as FilesystemWriteOpts | undefined)
    if (typeof pathOrFiles !== 'string') throw new Error('Path or files are required')
    const file = { path: pathOrFiles, data: dataOrOpts as WriteEntry['data'] }
    return (await this.writeFiles([file], opts))[0]!
  }

  /** Writes several files. Replaces existing files, and creates missing parent directories. */
  async writeFiles(files: WriteEntry[], opts: FilesystemWriteOpts = {}): Promise<WriteInfo[]> {
    if (files.length === 0) return []
    const headers = metadataHeaders(opts.metadata)
    if (Object.keys(headers).length > 0 && !this.envd.supports('metadata'))
      throw new TemplateError('File metadata requires envd 0.6.2 or later.')
    return await upload(this.envd, files, opts, {
      username: this.envd.userFor(opts.user),
      headers,
      signal: this.signalOf(opts),
    })
  }

  /**
   * Lists a directory, sorted by name; each directory precedes its content.
   *
   * @throws {@link FileNotFoundError} when the directory does not exist
   */
  async list(path: string, opts: FilesystemListOpts = {}): Promise<EntryInfo[]> {
    const depth = opts.depth ?? 1
    if (depth < 1) throw new InvalidArgumentError('depth should be at least one')
    const { entries } = await this.call(opts, (options) => this.rpc.listDir({ path, depth }, options))
    // leaves out entries of a type that this version does not know
    return entries.map(toEntryInfo).filter(({ type }) => type !== undefined)
  }

  /** Creates a directory and missing parents. @returns false when the directory exists already */
  async makeDir(path: string, opts?: FilesystemRequestOpts): Promise<boolean> {
    return await this.call(opts, (options) =>
      falseOn(Code.AlreadyExists, () => this.rpc.makeDir({ path }, options)),
    )
  }

  /** Moves a file or directory, and creates missing parent directories of the new path. */
  async rename(oldPath: string, newPath: string, opts?: FilesystemRequestOpts): Promise<EntryInfo> {
    const { entry } = await this.call(opts, (options) =>
      this.rpc.move({ source: oldPath, destination: newPath }, options),
    )
    return expectEntry(entry)
  }

  /** Removes a file, or a directory with its content. No error when the path does not exist. */
  async remove(path: string, opts?: FilesystemRequestOpts): Promise<void> {
    await this.call(opts, (options) => this.rpc.remove({ path }, options))
  }

  /** Whether there is a file or directory at the path. */
  async exists(path: string, opts?: FilesystemRequestOpts): Promise<boolean> {
    return await this.call(opts, (options) => falseOn(Code.NotFound, () => this.rpc.stat({ path }, options)))
  }

  /** Gets information about a file or directory. @throws {@link FileNotFoundError} when the path does not exist */
  async getInfo(path: string, opts?: FilesystemRequestOpts): Promise<EntryInfo> {
    const { entry } = await this.call(opts, (options) => this.rpc.stat({ path }, options))
    return expectEntry(entry)
  }

  /**
   * Calls `onEvent` for every change in a directory, until `stop` is called or `timeoutMs` has passed.
   *
   * @example
   * ```ts
   * const watch = await sandbox.files.watchDir('src', ({ type, name }) => console.log(type, name), { timeoutMs: 0 })
   * await watch.stop()
   * ```
   */
  async watchDir(
    path: string,
    onEvent: (event: FilesystemEvent) => void | Promise<void>,
    opts: WatchOpts & { onExit?: (err?: Error) => void | Promise<void> } = {},
  ): Promise<WatchHandle> {
    const { recursive = false, includeEntry = false, allowNetworkMounts = false } = opts
    if (recursive && !this.envd.supports('recursiveWatch'))
      throw new TemplateError('You need to update the template to use recursive watching.')
    if (includeEntry && !this.envd.supports('watchEntries'))
      throw new TemplateError('You need to update the template to include entry info in watch events.')
    if (allowNetworkMounts && !this.envd.supports('networkMounts'))
      throw new TemplateError('You need to update the template to watch directories on network mounts.')
    const stream = await openStream(
      this.envd,
      (signal) =>
        this.rpc.watchDir(
          { path, recursive, includeEntry, allowNetworkMounts },
          {
            signal,
            headers: { ...this.envd.userHeader(opts.user), ...streamHeaders },
            timeoutMs: opts.timeoutMs ?? DEFAULT_WATCH_TIMEOUT_MS,
          },
        ),
      {
        requestTimeoutMs: opts.requestTimeoutMs ?? this.config.requestTimeoutMs,
        signal: opts.signal,
        Missing: FileNotFoundError,
      },
    )
    return new WatchHandle(stream, onEvent, opts.onExit)
  }

  private async readStream(path: string, opts: FilesystemReadOpts): Promise<ReadableStream<Uint8Array>> {
    const timeoutMs = opts.requestTimeoutMs ?? this.config.requestTimeoutMs
    const handshake = new AbortController()
    const timer = timeoutMs
      ? setTimeout(
          () => handshake.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')),
          timeoutMs,
        )
      : undefined
    const signals = opts.signal ? [handshake.signal, opts.signal] : [handshake.signal]
    try {
      const { body } = await this.download(path, opts, AbortSignal.any(signals))
      return withIdleTimeout(body ?? new Blob([]).stream(), opts.streamIdleTimeoutMs ?? timeoutMs)
    } finally {
      clearTimeout(timer)
    }
  }

  private async download(
    path: string,
    { user, gzip }: FilesystemReadOpts,
    signal?: AbortSignal,
  ): Promise<Response> {
    const response = await this.envd.fetch(
      '/files',
      { path, username: this.envd.userFor(user) },
      { signal, headers: { 'Accept-Encoding': gzip ? 'gzip' : 'identity' } },
    )
    if (!response.ok) throw await restErrorOf(response, FileNotFoundError)
    return response
  }

  private signalOf({ requestTimeoutMs, signal }: FilesystemRequestOpts): AbortSignal | undefined {
    return this.config.getSignal(requestTimeoutMs, signal)
  }

  private async call<Answer>(
    opts: FilesystemRequestOpts = {},
    send: (options: { signal?: AbortSignal; headers: Record<string, string> }) => Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await send({ signal: this.signalOf(opts), headers: this.envd.userHeader(opts.user) })
    } catch (error) {
      throw await rpcErrorAfterProbe(error, this.envd, FileNotFoundError)
    }
  }
}

async function falseOn(code: Code, send: () => Promise<unknown>): Promise<boolean> {
  try {
    await send()
    return true
  } catch (error) {
    if (error instanceof ConnectError && error.code === code) return false
    throw error
  }
}

function expectEntry(entry: Parameters<typeof toEntryInfo>[0] | undefined): EntryInfo {
  if (!entry) throw new Error('Expected to receive information about the file or directory')
  return toEntryInfo(entry)
}
