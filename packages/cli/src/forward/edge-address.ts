import { isIP } from 'node:net'
import type { Sandbox } from 'e2b'

/** URL and headers for HTTP requests to one port of a sandbox (wire spec 1.2). */
export interface EdgeAddress {
  base: URL
  headers: Record<string, string>
}

/** Header for the host that the program sees, as many programs check the host; the edge accepts local hosts only. */
export const GUEST_HOST_HEADER = 'e2b-sandbox-host'

/** @param sandboxUrl one URL for all sandboxes (E2B_SANDBOX_URL), where headers name the sandbox */
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
