import { isSandboxId, sandboxIdIn } from './ids.ts'

/** Port that envd listens on inside every sandbox. */
export const ENVD_PORT = 49983
/** Version that envd reports; clients enable features by it (wire spec 4.1). */
export const ENVD_VERSION = '0.6.13'

export interface SandboxTarget {
  sandboxId: string
  port: number
  /** Name that the client uses for the sandbox, when that differs from the id (`sandboxIdIn`). */
  calledName?: string
}

/** @param name id of a sandbox, or a name that contains the id */
export function targetOf(name: string, port: number): SandboxTarget | 'Invalid sandbox ID' {
  const sandboxId = sandboxIdIn(name)
  if (!isSandboxId(sandboxId)) return 'Invalid sandbox ID'
  return sandboxId === name ? { sandboxId, port } : { sandboxId, port, calledName: name }
}

/**
 * Reads `<port>-<sandboxId>[-…]` from the left-most label of a Host header (wire spec 1.2).
 * @returns a string for an invalid host: the exact text that the edge answers with
 */
export function parseSandboxHost(host: string): SandboxTarget | 'Invalid host' | 'Invalid sandbox ID' {
  const label = host.split('.', 1)[0] ?? ''
  const [, portText, name] = /^(\d{1,5})-(.*)$/.exec(label) ?? []
  if (portText === undefined || name === undefined) return 'Invalid host'
  const port = Number(portText)
  if (port < 1 || port > 65535) return 'Invalid host'
  return targetOf(name, port)
}

/** `<port>-<sandboxId>.<domain>`; the domain may hold a port of its own. */
export const formatSandboxHost = (target: SandboxTarget, domain: string): string =>
  `${target.port}-${target.sandboxId}.${domain}`
