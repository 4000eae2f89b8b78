import { createHash, timingSafeEqual } from 'node:crypto'
import type { DirectoryEntry } from '@sandlot/protocol/directory'
import { type EdgeRequest, headerOf } from './message.ts'

/** Fields of a `/files` URL that its signature covers (wire spec 4.3). */
export interface SignedFileUrl {
  path: string
  username: string
  operation: 'read' | 'write'
  signature: string
  /** Unix seconds, as written in the query. */
  expiration?: string
}

/** Paths are at most PATH_MAX long; longer ones would only make hashing expensive. */
const MAX_PATH_LENGTH = 4096
/** Longest accepted expiration (Unix seconds), which is hashed again for each token. */
const MAX_EXPIRATION_LENGTH = 20

export function parseSignedFileUrl(request: EdgeRequest): SignedFileUrl | undefined {
  const url = request.url ?? ''
  if (!url.startsWith('/files?')) return undefined
  const query = new URLSearchParams(url.slice('/files?'.length))
  const signature = query.get('signature')
  if (!signature) return undefined
  return {
    path: query.get('path') ?? '',
    username: query.get('username') ?? '',
    operation: operationOf(request),
    // A `+` that the client did not encode reads as a space.
    signature: signature.replaceAll(' ', '+'),
    expiration: query.get('signature_expiration') ?? undefined,
  }
}

function operationOf(request: EdgeRequest): SignedFileUrl['operation'] {
  const method =
    request.method === 'OPTIONS' ? headerOf(request, 'access-control-request-method') : request.method
  return method === 'POST' ? 'write' : 'read'
}

/** `"v1_" + base64(sha256(path:operation:username:token[:expiration]))` without padding. */
export function signFileUrl(url: Omit<SignedFileUrl, 'signature'>, accessToken: string): string {
  return `v1_${digestOf(prefixHash(url), accessToken, url.expiration).toString('base64').replace(/=+$/, '')}`
}

/**
 * Finds the sandbox whose token made the signature. envd checks whether the link has expired.
 * @param spend called before each token is tried; false ends the search
 */
export function findSigner(
  url: SignedFileUrl,
  candidates: Iterable<DirectoryEntry>,
  spend: () => boolean = () => true,
): DirectoryEntry | undefined {
  const claimed = Buffer.from(url.signature.slice(3), 'base64')
  if (!url.signature.startsWith('v1_') || claimed.length !== 32) return undefined
  if (url.path.length > MAX_PATH_LENGTH || (url.expiration ?? '').length > MAX_EXPIRATION_LENGTH)
    return undefined
  const prefix = prefixHash(url)
  for (const entry of candidates) {
    const isReachable = entry.state === 'running' || entry.wakesOnTraffic
    if (!isReachable || !entry.envdAccessToken) continue
    if (!spend()) return undefined
    if (timingSafeEqual(digestOf(prefix, entry.envdAccessToken, url.expiration), claimed)) return entry
  }
  return undefined
}

const prefixHash = (url: Omit<SignedFileUrl, 'signature'>) =>
  createHash('sha256').update(`${url.path}:${url.operation}:${url.username}:`)

const digestOf = (
  prefix: ReturnType<typeof prefixHash>,
  token: string,
  expiration: string | undefined,
): Buffer =>
  prefix
    .copy()
    .update(expiration === undefined ? token : `${token}:${expiration}`)
    .digest()
