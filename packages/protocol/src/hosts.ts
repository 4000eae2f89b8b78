/** Port that envd listens on inside every sandbox. */
export const ENVD_PORT = 49983
/** What our envd reports; clients switch features on by it (wire spec 4.1). */
export const ENVD_VERSION = '0.6.13'

export interface SandboxTarget {
  sandboxId: string
  port: number
}

/**
 * Reads `<port>-<sandboxId>[-…]` from the left-most label of a Host header (wire spec 1.2).
 * Returns what is wrong as the exact text the edge answers with.
 */
export function parseSandboxHost(host: string): SandboxTarget | 'Invalid host' | 'Invalid sandbox ID' {
  const label = host.split('.', 1)[0] ?? ''
  const [portText, sandboxId] = label.split('-')
  if (sandboxId === undefined || !/^\d{1,5}$/.test(portText ?? '')) return 'Invalid host'
  const port = Number(portText)
  if (port < 1 || port > 65535) return 'Invalid host'
  if (!/^[a-z0-9]{1,64}$/.test(sandboxId)) return 'Invalid sandbox ID'
  return { sandboxId, port }
}

/** `<port>-<sandboxId>.<domain>`; the domain may hold a port of its own. */
export const formatSandboxHost = (target: SandboxTarget, domain: string): string =>
  `${target.port}-${target.sandboxId}.${domain}`
