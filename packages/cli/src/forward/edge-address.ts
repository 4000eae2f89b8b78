import { isIP } from 'node:net'
import type { Sandbox } from 'e2b'

/** How one port of a sandbox is asked for over HTTP (wire spec 1.2). */
export interface EdgeAddress {
  base: URL
  headers: Record<string, string>
  /** Does the edge take any local name for the host, so that the program inside may see the client's? */
  keepsHost: boolean
}

/** @param sandboxUrl one URL for all sandboxes (E2B_SANDBOX_URL), which tells them apart by header */
export function edgeAddress(
  sandbox: Pick<Sandbox, 'sandboxId' | 'trafficAccessToken' | 'getHost'>,
  port: number,
  sandboxUrl: string | undefined,
): EdgeAddress {
  const token = sandbox.trafficAccessToken
  const headers: Record<string, string> = token ? { 'e2b-traffic-access-token': token } : {}
  if (!sandboxUrl) return { base: new URL(`https://${sandbox.getHost(port)}`), headers, keepsHost: false }
  const base = new URL(sandboxUrl)
  return {
    base,
    headers: { ...headers, 'e2b-sandbox-id': sandbox.sandboxId, 'e2b-sandbox-port': String(port) },
    keepsHost: isLocal(base.host),
  }
}

/** `localhost:8080`, `127.0.0.1`, `[::1]:80`: what the edge does not read a sandbox from. */
export function isLocal(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return name === 'localhost' || isIP(name) !== 0
}
