import type { NetworkOwner } from './network.ts'

export type ConnectionVerdict =
  | 'allowed'
  | 'denied'
  /** Allowed, but the connection could not be made or was cut: see `reason`. */
  | 'failed'

/** What became of one outgoing connection of a sandbox, one HTTP request that the proxy saw, or one DNS query. */
export interface ConnectionRecord extends NetworkOwner {
  /** UUID; HTTP requests on one connection have records of their own. */
  recordId: string
  startedAtMs: number
  durationMs: number
  protocol: 'tcp' | 'udp' | 'icmp' | 'other' | 'http' | 'https' | 'tls' | 'dns'
  /** Name of the destination where one was seen: SNI, Host header or DNS question. */
  name?: string
  /** IPv4 address that the sandbox connected to. */
  address?: string
  port?: number
  bytesOut: number
  bytesIn: number
  verdict: ConnectionVerdict
  /** What decided, e.g. `allow *.example.com`, `deny 0.0.0.0/0`, `default`, `closed range`, `connection limit`. */
  rule: string
  /**
   * Why a connection was denied or failed, e.g. `tls_rejected_by_client`, `secret_missing`, `proxy_unreachable`,
   * `name_not_found`, `private_address`.
   */
  reason?: string
  /** Only where the proxy reads requests. The path has no query. */
  http?: { method: string; host: string; path: string; status?: number }
}
