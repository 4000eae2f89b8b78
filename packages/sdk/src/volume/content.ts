import { clientHeaders } from '../api/client.ts'
import { apiErrorOf } from '../api/error.ts'
import { VolumeError, VolumePathNotFoundError } from '../errors.ts'
import { pooledFetch } from '../http/pools.ts'
import type { VolumeConnectionConfig } from './connection.ts'
import { decodePath, encodePath } from './path-bytes.ts'
import type { VolumeEntryStat, VolumeFileType } from './types.ts'

/** One request to the content API of a volume (wire spec, section 2.6). */
export interface ContentRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  route: 'path' | 'dir' | 'file' | 'upload'
  /** Path in the volume. Absent: the request is about no path. */
  path?: string
  /** Further parameters; undefined values are left out. */
  query?: Record<string, string | number | boolean | undefined>
  body?: BodyInit
  contentType?: string
  signal?: AbortSignal
}

/** An entry as the API sends it: times are RFC 3339 strings. */
interface WireStat {
  name: string
  type: VolumeFileType
  path: string
  /** Base64 of the path, if it is not UTF-8. */
  pathBytes?: string
  size: number
  mode: number
  uid: number
  gid: number
  atime: string
  mtime: string
  ctime: string
  target?: string
}

/**
 * @returns an answer of status 2xx
 * @throws {@link VolumePathNotFoundError} if there is no such path
 * @throws {@link VolumeError} for other error answers
 */
export async function requestContent(
  volumeId: string,
  config: VolumeConnectionConfig,
  request: ContentRequest,
): Promise<Response> {
  const { method, route, path, query = {}, body, contentType, signal } = request
  const url = `${config.apiUrl}/volumecontent/${encodeURIComponent(volumeId)}/${route}?${queryString({ path, ...query })}`
  config.logger?.info?.(`Request ${method} ${url}`)
  const response = await pooledFetch('files', config.proxy)(url, {
    method,
    headers: {
      ...clientHeaders,
      Authorization: `Bearer ${config.token}`,
      ...(contentType && { 'Content-Type': contentType }),
      ...config.headers,
    },
    body,
    signal,
    ...(body instanceof ReadableStream && { duplex: 'half' }),
  } as RequestInit)
  config.logger?.[response.ok ? 'info' : 'error']?.('Response:', response.status, response.statusText)
  if (response.ok) return response
  const error = bodyOf(await response.text())
  if (response.status === 404) throw new VolumePathNotFoundError(`Path ${path ?? ''} not found`)
  throw apiErrorOf({ response, error }, VolumeError)
}

/** Reads the one entry of an answer. */
export const entryOf = async (response: Response): Promise<VolumeEntryStat> => toEntry(await response.json())

/** Reads the entries of an answer. */
export const entriesOf = async (response: Response): Promise<VolumeEntryStat[]> =>
  ((await response.json()) as WireStat[]).map(toEntry)

function toEntry({ pathBytes, ...stat }: WireStat): VolumeEntryStat {
  const path = pathBytes === undefined ? stat.path : decodePath(pathBytes)
  return {
    ...stat,
    name: pathBytes === undefined ? stat.name : path.slice(path.lastIndexOf('/') + 1),
    path,
    atime: new Date(stat.atime),
    mtime: new Date(stat.mtime),
    ctime: new Date(stat.ctime),
  }
}

const queryString = (query: Record<string, string | number | boolean | undefined>): string =>
  Object.entries(query)
    .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${encodePath(String(value))}`]))
    .join('&')

function bodyOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
