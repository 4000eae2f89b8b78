import { ENVD_PORT, type SandboxTarget, secretsEqual } from '@sandlot/protocol'
import type { DirectoryEntry } from '@sandlot/protocol/directory'
import { isControlRoute } from './control-routes.ts'
import { type EdgeRequest, headerOf } from './message.ts'
import { controlRoute, type Refusal, TRAFFIC_TOKEN_HEADER, trafficTokenRefused } from './refusal.ts'
import { findSigner, parseSignedFileUrl } from './signed-url.ts'

/** Checks what callers may do at envd's port and at other ports. @returns undefined when the request is allowed */
export function refusalOf(
  request: EdgeRequest,
  target: SandboxTarget,
  entry: DirectoryEntry,
): Refusal | undefined {
  if (target.port === ENVD_PORT) return isControlRoute(request.url ?? '') ? controlRoute() : undefined
  if (entry.trafficAccessToken === undefined) return undefined
  const token = headerOf(request, TRAFFIC_TOKEN_HEADER)
  if (token === undefined) return trafficTokenRefused(target, 'missing')
  return secretsEqual(token, entry.trafficAccessToken) ? undefined : trafficTokenRefused(target, 'invalid')
}

/** envd checks the token itself. The edge wakes a paused sandbox only for callers that envd would answer. */
export function mayUseEnvd(request: EdgeRequest, entry: DirectoryEntry): boolean {
  if (entry.envdAccessToken === undefined) return true
  const token = headerOf(request, 'x-access-token')
  if (token !== undefined) return secretsEqual(token, entry.envdAccessToken)
  const signed = parseSignedFileUrl(request)
  const isOver = Number(signed?.expiration ?? Number.POSITIVE_INFINITY) * 1000 < Date.now()
  return signed !== undefined && !isOver && findSigner(signed, [entry]) !== undefined
}
