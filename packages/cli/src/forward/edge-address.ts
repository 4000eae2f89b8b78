import { isIP } from 'node:net'
import type { Sandbox } from 'e2b'

/** How one port of a sandbox is asked for over HTTP (wire spec 1.2). */
export interface EdgeAddress {
  base: URL
  headers: Record<string, string>
}

/** Which host the program inside is to see, as many check theirs; the edge takes local ones. */
export const GUEST_HOST_HEADER = 'e2b-sandbox-host'

/** @param sandboxUrl one URL for all sandboxes (E2B_SANDBOX_URL), which tells them apart by header */
export function edgeAddress(
  sandbox: Pick<Sandbox, 'sandboxId' | 'trafficAccessToken' | 'getHost'>,
  port: number,
  sandboxUrl: string | undefined,
): EdgeAddress {
  const token = sandbox.trafficAccessToken
  const headers: Record<string, string> = token ? { 'e2b-traffic-access-token': token } : {}
  if (!sandboxUrl) return { base: new URL(`https://${sandbox.getHost(port)}`), headers }
  return {
    base: new URL(sandboxUrl),
    headers: { ...headers, 'e2b-sandbox-id': sandbox.sandboxId, 'e2b-sandbox-port': String(port) },
  }
}

/** `localhost:8080`, `127.0.0.1`, `[::1]:80`. */
export function isLocal(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return name === 'localhost' || isIP(name) !== 0
}
