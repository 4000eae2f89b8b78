import { ClientFactory } from '../connection-config.ts'
import { InvalidArgumentError, VolumePathNotFoundError } from '../errors.ts'
import { withIdleTimeout } from '../files/idle-timeout.ts'
import { runtime } from '../http/runtime.ts'
import { type VolumeApiOpts, VolumeConnectionConfig } from './connection.ts'
import { type ContentRequest, entriesOf, entryOf, requestContent } from './content.ts'
import type { VolumeEntryStat, VolumeMetadataOpts, VolumeReadOpts, VolumeWriteOpts } from './types.ts'

/** Timeout for transfers, as a file may be large and the connection slow. */
const FILE_TIMEOUT_MS = 3_600_000

/** Data to write to a file. */
type VolumeData = string | ArrayBuffer | ArrayBufferView<ArrayBuffer> | Blob | ReadableStream<Uint8Array>

/** Reads and writes the files of one volume, without a sandbox. */
export abstract class VolumeContent extends ClientFactory {
  abstract readonly volumeId: string
  abstract readonly token: string
  abstract readonly domain?: string
  abstract readonly debug?: boolean
  abstract readonly proxy?: string

  /**
   * Lists the entries of a directory.
   *
   * @param opts `depth`: number of directory levels, 1 by default
   * @throws {@link VolumePathNotFoundError} if there is no such directory
   */
  async list(path: string, opts?: VolumeApiOpts & { depth?: number }): Promise<VolumeEntryStat[]> {
    return entriesOf(
      await this.request({ method: 'GET', route: 'dir', path, query: { depth: opts?.depth } }, opts),
    )
  }

  /**
   * Creates a directory.
   *
   * @param opts `force`: create missing parents, and accept an existing directory
   */
  async makeDir(path: string, opts?: VolumeWriteOpts & VolumeApiOpts): Promise<VolumeEntryStat> {
    return entryOf(await this.request({ method: 'POST', route: 'dir', path, query: writeQuery(opts) }, opts))
  }

  /** @throws {@link VolumePathNotFoundError} if there is nothing at this path */
  async getInfo(path: string, opts?: VolumeApiOpts): Promise<VolumeEntryStat> {
    return entryOf(await this.request({ method: 'GET', route: 'path', path }, opts))
  }

  /** Whether the path exists. */
  async exists(path: string, opts?: VolumeApiOpts): Promise<boolean> {
    try {
      await this.getInfo(path, opts)
      return true
    } catch (error) {
      if (error instanceof VolumePathNotFoundError) return false
      throw error
    }
  }

  /** Changes owner or permissions; omitted values stay unchanged. */
  async updateMetadata(
    path: string,
    metadata: VolumeMetadataOpts,
    opts?: VolumeApiOpts,
  ): Promise<VolumeEntryStat> {
    const { uid, gid, mode } = metadata
    const body = JSON.stringify({ uid, gid, mode })
    return entryOf(
      await this.request(
        { method: 'PATCH', route: 'path', path, body, contentType: 'application/json' },
        opts,
      ),
    )
  }

  /**
   * Reads a file, as text (UTF-8) unless `format` says otherwise. With `stream` the file may be larger than memory;
   * read
   * the stream to its end or cancel it.
   *
   * @throws {@link VolumePathNotFoundError} if there is no such file
   * @example
   * ```ts
   * for await (const chunk of await volume.readFile('/large.bin', { format: 'stream' })) process(chunk)
   * ```
   */
  async readFile(path: string, opts?: VolumeReadOpts & { format?: 'text' }): Promise<string>
  async readFile(path: string, opts?: VolumeReadOpts & { format: 'bytes' }): Promise<Uint8Array>
  async readFile(path: string, opts?: VolumeReadOpts & { format: 'blob' }): Promise<Blob>
  async readFile(
    path: string,
    opts?: VolumeReadOpts & { format: 'stream' },
  ): Promise<ReadableStream<Uint8Array>>
  async readFile(
    path: string,
    opts: VolumeReadOpts & { format?: 'text' | 'bytes' | 'blob' | 'stream' } = {},
  ): Promise<unknown> {
    const { format = 'text' } = opts
    if (!['text', 'bytes', 'blob', 'stream'].includes(format))
      throw new InvalidArgumentError(`Unknown format "${format}": use text, bytes, blob, or stream.`)
    if (format === 'stream') return this.readStream(path, opts)
    const response = await this.request({ method: 'GET', route: 'file', path }, opts, FILE_TIMEOUT_MS)
    if (format === 'blob') return response.blob()
    if (format === 'bytes') return new Uint8Array(await response.arrayBuffer())
    return response.text()
  }

  /**
   * Writes a file. A stream is sent while it is read; browsers, which cannot send streams, buffer it first.
   *
   * @param opts `force`: overwrite an existing file
   * @throws {@link VolumeError} if the file exists and `force` is not set
   * @throws {@link VolumePathNotFoundError} if its directory does not exist
   */
  async writeFile(
    path: string,
    data: VolumeData,
    opts?: VolumeWriteOpts & VolumeApiOpts,
  ): Promise<VolumeEntryStat> {
    const body = await bodyOf(data)
    const request = { method: 'PUT', route: 'file', path, query: writeQuery(opts), body } as const
    return entryOf(
      await this.request({ ...request, contentType: 'application/octet-stream' }, opts, FILE_TIMEOUT_MS),
    )
  }

  /** Removes a file, or a directory with its content. */
  async remove(path: string, opts?: VolumeApiOpts): Promise<void> {
    const response = await this.request({ method: 'DELETE', route: 'path', path }, opts)
    await response.arrayBuffer()
  }

  private async request(
    request: Omit<ContentRequest, 'signal'>,
    opts?: VolumeApiOpts,
    timeoutMs?: number,
  ): Promise<Response> {
    const config = new VolumeConnectionConfig(this, opts)
    const signal = config.getSignal(opts?.requestTimeoutMs ?? timeoutMs)
    return requestContent(this.volumeId, config, { ...request, signal })
  }

  /** The request timeout applies until the answer begins, and the idle timeout afterwards. */
  private async readStream(path: string, opts: VolumeReadOpts): Promise<ReadableStream<Uint8Array>> {
    const config = new VolumeConnectionConfig(this, opts)
    const timeoutMs = opts.requestTimeoutMs ?? FILE_TIMEOUT_MS
    const handshake = new AbortController()
    const expire = () => handshake.abort(new DOMException(`No answer within ${timeoutMs} ms`, 'TimeoutError'))
    const timer = timeoutMs ? setTimeout(expire, timeoutMs) : undefined
    const signal = config.signal ? AbortSignal.any([config.signal, handshake.signal]) : handshake.signal
    try {
      const request = { method: 'GET', route: 'file', path, signal } as const
      const { body } = await requestContent(this.volumeId, config, request)
      return withIdleTimeout(
        body ?? new Blob([]).stream(),
        opts.streamIdleTimeoutMs ?? config.requestTimeoutMs,
      )
    } finally {
      clearTimeout(timer)
    }
  }
}

const writeQuery = ({ uid, gid, mode, force }: VolumeWriteOpts = {}) => ({ uid, gid, mode, force })

async function bodyOf(data: VolumeData): Promise<BodyInit> {
  if (
    typeof data === 'string' ||
    data instanceof Blob ||
    data instanceof ArrayBuffer ||
    ArrayBuffer.isView(data)
  )
    return data as BodyInit
  if (!(data instanceof ReadableStream))
    throw new InvalidArgumentError(
      'The data of a file must be a string, ArrayBuffer, Blob, or ReadableStream.',
    )
  return runtime === 'browser' ? new Response(data).blob() : data
}
