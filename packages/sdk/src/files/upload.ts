import type { Envd } from '../envd/envd.ts'
import { restErrorOf } from '../envd/rest-error.ts'
import { FileNotFoundError, InvalidArgumentError } from '../errors.ts'
import { runtime } from '../http/runtime.ts'
import type { WriteInfo } from './entry.ts'
import type { FilesystemWriteOpts, WriteEntry } from './options.ts'

export type UploadData = WriteEntry['data']

/** Maximum number of concurrent requests when each file is sent by a separate request. */
const PARALLEL_UPLOADS = 8

export interface UploadRequest {
  username?: string
  headers: Record<string, string>
  signal?: AbortSignal
}

/** Writes files, either by one request with a plain body per file, or by one form with all files. */
export async function upload(
  envd: Envd,
  files: WriteEntry[],
  { gzip, useOctetStream }: FilesystemWriteOpts,
  request: UploadRequest,
): Promise<WriteInfo[]> {
  const suggests = gzip || files.length === 1 || files.some(({ data }) => data instanceof ReadableStream)
  const asBodies = envd.supports('octetStream') && (gzip || (useOctetStream ?? suggests))
  if (!asBodies) return uploadForm(envd, files, request)
  const written: WriteInfo[] = []
  for (let start = 0; start < files.length; start += PARALLEL_UPLOADS) {
    const batch = files.slice(start, start + PARALLEL_UPLOADS)
    for (const infos of await Promise.all(
      batch.map((file) => uploadBody(envd, file, gzip ?? false, request)),
    ))
      written.push(...infos)
  }
  return written
}

async function uploadBody(
  envd: Envd,
  { path, data }: WriteEntry,
  gzip: boolean,
  { username, headers, signal }: UploadRequest,
): Promise<WriteInfo[]> {
  let body = asBody(data, path)
  if (gzip) body = toStream(body).pipeThrough(new CompressionStream('gzip'))
  // browsers cannot stream a request body over HTTP/1.1, and most browsers cannot stream one at all
  if (body instanceof ReadableStream && runtime === 'browser') body = await new Response(body).blob()
  return send(envd, path, {
    username,
    init: {
      method: 'POST',
      body,
      headers: {
        ...headers,
        'Content-Type': 'application/octet-stream',
        ...(gzip && { 'Content-Encoding': 'gzip' }),
      },
      signal,
      ...(body instanceof ReadableStream && { duplex: 'half' }),
    },
  })
}

async function uploadForm(
  envd: Envd,
  files: WriteEntry[],
  { username, headers, signal }: UploadRequest,
): Promise<WriteInfo[]> {
  const form = new FormData()
  for (const { path, data } of files) {
    const body = asBody(data, path)
    const blob = body instanceof ReadableStream ? await new Response(body).blob() : new Blob([body])
    form.append('file', blob, path)
  }
  const path = files.length === 1 ? files[0]!.path : undefined
  return send(envd, path, { username, init: { method: 'POST', body: form, headers, signal } })
}

async function send(
  envd: Envd,
  path: string | undefined,
  { username, init }: { username?: string; init: Parameters<Envd['fetch']>[2] },
): Promise<WriteInfo[]> {
  const response = await envd.fetch('/files', { path, username }, init)
  if (!response.ok) throw await restErrorOf(response, FileNotFoundError)
  const written = (await response.json()) as WriteInfo[] | undefined
  if (!written?.length) throw new Error('Expected to receive information about written file')
  return written
}

type Body =
  | string
  | ArrayBuffer
  | ArrayBufferView<ArrayBuffer>
  | Blob
  | ReadableStream<Uint8Array<ArrayBuffer>>

function asBody(data: UploadData, path: string): Body {
  if (typeof data === 'string' || data instanceof Blob || data instanceof ReadableStream) return data
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return data
  throw new InvalidArgumentError(
    `data for '${path}' is ${data === null ? 'null' : typeof data}: pass a string, ArrayBuffer, Uint8Array, Blob or ReadableStream`,
  )
}

const toStream = (body: Body): ReadableStream<Uint8Array<ArrayBuffer>> =>
  body instanceof ReadableStream
    ? body
    : ((body instanceof Blob ? body : new Blob([body])).stream() as ReadableStream<Uint8Array<ArrayBuffer>>)
