import { createHash } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { unpackTar } from 'modern-tar'

/** A request in the form in which two clients are compared: everything that the server could act on, and nothing else. */
export interface RecordedRequest {
  method: string
  /** Path, and query with its parameters in alphabetical order. */
  target: string
  headers: Record<string, string>
  /** Parsed JSON, the entries of an archive, or text; undefined without a body. */
  body?: unknown
  /** Whether the length was announced; recorded for uploads only, where object stores require the length. */
  hasLength?: boolean
}

export interface Answer {
  status: number
  json?: unknown
  text?: string
  /** Messages of a Connect stream, which then ends. */
  frames?: unknown[]
  /** The last message of a Connect stream. @default {} */
  end?: { error?: { code: string; message: string } }
  headers?: Record<string, string>
}

/** Decides what the stub of the API answers; undefined is 404. */
export type Responder = (request: RecordedRequest, url: string) => Answer | undefined

export interface RecordingApi {
  url: string
  requests: RecordedRequest[]
  /** Called for every request; tests may replace it between programs. */
  respond: Responder
  close(): Promise<void>
}

/** Headers that belong to the request itself, not to the client or the connection. */
const MEANINGFUL = /^(authorization|connect-|content-type|content-encoding|e2b-|keepalive-|user-agent$|x-)/

/** An HTTP server that records its requests. */
export async function startRecordingApi(respond: Responder): Promise<RecordingApi> {
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const request = await describe(incoming.method!, incoming.url!, incoming.headers, Buffer.concat(chunks))
    api.requests.push(request)
    const answer = api.respond(request, api.url) ?? {
      status: 404,
      json: { code: 404, message: `no such route: ${request.method} ${request.target}` },
    }
    const [contentType, body] = bodyOfAnswer(answer)
    outgoing.writeHead(answer.status, {
      'content-type': contentType,
      ...(answer.status !== 204 && { 'content-length': Buffer.byteLength(body) }),
      ...answer.headers,
    })
    outgoing.end(body)
  })
  const api: RecordingApi = {
    url: '',
    requests: [],
    respond,
    close: () => new Promise((resolve) => server.close(() => resolve()).closeAllConnections()),
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  api.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return api
}

async function describe(
  method: string,
  target: string,
  headers: IncomingHttpHeaders,
  body: Buffer,
): Promise<RecordedRequest> {
  const { pathname, searchParams } = new URL(target, 'http://x')
  searchParams.sort()
  const isUpload = pathname.startsWith('/upload')
  return {
    method,
    target: searchParams.size > 0 ? `${pathname}?${searchParams}` : pathname,
    headers: meaningful(headers),
    ...(isUpload && { hasLength: headers['content-length'] === String(body.length) }),
    ...(body.length > 0 && { body: isUpload ? await archiveEntries(body) : bodyOf(headers, body) }),
  }
}

function meaningful(headers: IncomingHttpHeaders): Record<string, string> {
  const entries = Object.entries(headers).filter(
    ([name, value]) => MEANINGFUL.test(name) && !(name === 'user-agent' && isTransport(value)),
  ) as [string, string][]
  // Version and boundary differ between the SDKs; everything else that they say about themselves must agree.
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      value.replace(/(e2b-js-sdk\/)\S+/, '$1<version>').replace(/boundary=.*/, 'boundary=<boundary>'),
    ]),
  )
}

/** User-Agent of HTTP clients when the SDK sets none. */
const isTransport = (userAgent: unknown): boolean => userAgent === 'undici' || userAgent === 'node'

function bodyOfAnswer({
  json,
  text,
  frames,
  end = {},
}: Answer): [contentType: string, body: string | Buffer] {
  if (json !== undefined) return ['application/json', JSON.stringify(json)]
  if (!frames) return ['application/octet-stream', text ?? '']
  return [
    'application/connect+json',
    Buffer.concat([...frames.map((message) => frame(0, message)), frame(2, end)]),
  ]
}

/** One message of a Connect stream: flags, length, JSON (wire spec, section 4.4). */
function frame(flags: number, message: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(message))
  const head = Buffer.alloc(5)
  head.writeUInt8(flags)
  head.writeUInt32BE(json.length, 1)
  return Buffer.concat([head, json])
}

function bodyOf(headers: IncomingHttpHeaders, body: Buffer): unknown {
  const contentType = headers['content-type'] ?? ''
  if (headers['content-encoding'] === 'gzip') return { unzipped: gunzipSync(body).toString() }
  if (contentType.startsWith('application/connect+json'))
    return JSON.parse(comparable(body.subarray(5).toString()))
  if (contentType.includes('json')) return JSON.parse(comparable(body.toString()))
  const boundary = contentType.match(/boundary=(.+)$/)?.[1]
  return boundary ? body.toString().replaceAll(boundary, '<boundary>') : body.toString()
}

/** Replaces random ids, which have the same form but differ. */
const comparable = (json: string): string =>
  json.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')

/** Everything of an archive except modification times and order. */
async function archiveEntries(body: Buffer): Promise<unknown> {
  const isCompressed = body[0] === 0x1f
  const entries = await unpackTar(new Uint8Array(isCompressed ? gunzipSync(body) : body))
  const described = entries.map(({ header: { name, type, mode, uid, gid, size, linkname }, data }) => ({
    name: name.replace(/\/$/, ''),
    type,
    mode,
    uid,
    gid,
    size,
    linkname: linkname || undefined,
    sha256: data && createHash('sha256').update(data).digest('hex'),
  }))
  return { isCompressed, entries: described.sort((a, b) => (a.name < b.name ? -1 : 1)) }
}
