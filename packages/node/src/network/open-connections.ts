import { contains, parseCidr, toNumber } from '@sandlot/protocol/cidr'
import { isClosed, type NetworkPolicy, needsProxy } from '@sandlot/protocol/node'
import { run } from '../host/run.ts'
import type { InstanceNames } from '../instance-names.ts'
import { BLOCKED_RANGES } from './blocked-ranges.ts'
import { DNS_ADDRESS } from './dns-address.ts'

const CONNTRACK_TIMEOUT_MS = 10_000
const DNS_PORT = 53
const WEB_PORTS = [80, 443]

/** A connection in the kernel's table, as the sandbox sees it. */
export interface OpenConnection {
  protocol: string
  /** Address that the sandbox connected to. */
  address: string
  sourcePort?: number
  port?: number
  mark: number
}

/**
 * Reads lines of `conntrack -L` or `-E`, e.g. `tcp 6 431999 ESTABLISHED src=10.1.0.2 dst=1.2.3.4 sport=1 dport=443 src=…`.
 * @returns undefined for a line without a connection
 */
export function readConnection(line: string): (OpenConnection & { source: string }) | undefined {
  const protocol = /(?:^|\] +)([a-z]+) +\d+ /.exec(line)?.[1]
  // the first of each pair is that of the direction from the sandbox
  const value = (name: string) => new RegExp(` ${name}=(\\S+)`).exec(line)?.[1]
  const [source, address, port, sourcePort] = ['src', 'dst', 'dport', 'sport'].map(value)
  if (!protocol || !source || !address) return undefined
  return {
    protocol,
    source,
    address,
    ...(port && { port: Number(port), sourcePort: Number(sourcePort) }),
    mark: Number(value('mark') ?? 0),
  }
}

/** Returns the rule that decides about connections to an address by ranges alone: `allow …`, `deny …` or `default`. */
export function rangeRuleOf({ allowRanges, denyRanges }: NetworkPolicy, address: string): string {
  const number = toNumber(address)
  const holds = (range: string) => contains(parseCidr(range), number)
  const allowed = allowRanges.find(holds)
  if (allowed) return `allow ${allowed}`
  const denied = denyRanges.find(holds)
  return denied ? `deny ${denied}` : 'default'
}

const closedRanges = BLOCKED_RANGES.map(parseCidr)
/** Whether an address is in a range that is closed to all sandboxes. */
export const isInClosedRange = (address: string): boolean =>
  closedRanges.some((range) => contains(range, toNumber(address)))

/** Whether a policy refuses a connection that the kernel passes now. Connections of the proxy are its own affair. */
export function isRefused(policy: NetworkPolicy, { protocol, address, port }: OpenConnection): boolean {
  if (isClosed(policy)) return true
  const hasNames = policy.allowNames.length > 0
  if (
    port === DNS_PORT &&
    (protocol === 'udp' || protocol === 'tcp') &&
    (hasNames || address === DNS_ADDRESS)
  )
    // names have a resolver of their own, which the connection does not lead to
    return hasNames || rangeRuleOf(policy, address) !== 'default'
  const rule = rangeRuleOf(policy, address)
  if (protocol !== 'tcp' || !needsProxy(policy)) return rule.startsWith('deny')
  // would have to pass the proxy now
  if (policy.proxy) return true
  const isWeb = WEB_PORTS.includes(port ?? 0)
  if (isWeb && Object.keys(policy.transforms ?? {}).length > 0) return true
  return isWeb && hasNames ? !rule.startsWith('allow') : rule.startsWith('deny')
}

export interface CloseOptions {
  names: InstanceNames
  onError: (error: unknown) => void
}

/**
 * Cuts connections of a sandbox that a policy refuses, once the policy is in force: a packet without an entry in the
 * kernel's table counts as one of a new connection, and is refused too. Never rejects.
 */
export async function closeRefused(
  { names, onError }: CloseOptions,
  address: string,
  policy: NetworkPolicy,
): Promise<void> {
  try {
    const listed = await list(address)
    const refused = listed.split('\n').flatMap((line) => {
      const connection = readConnection(line)
      return connection && connection.mark !== names.mark && isRefused(policy, connection) ? [connection] : []
    })
    if (refused.length === 0) return
    const lines = refused.map((connection) => `-D ${filterOf(connection, address).join(' ')}\n`)
    // a pipe between processes, as `conntrack` opens /dev/stdin and Node's pipes are sockets
    await run('sh', ['-c', 'cat | conntrack --load-file -'], {
      input: lines.join(''),
      timeoutMs: CONNTRACK_TIMEOUT_MS,
    })
  } catch (error) {
    onError(error)
  }
}

function filterOf({ protocol, address, sourcePort, port }: OpenConnection, source: string): string[] {
  const ends = ['-f', 'ipv4', '-s', source, '-d', address]
  if (port === undefined) return protocol === 'unknown' ? ends : [...ends, '-p', protocol]
  return [...ends, '-p', protocol, '--sport', String(sourcePort), '--dport', String(port)]
}

async function list(address: string): Promise<string> {
  try {
    const args = ['-L', '-f', 'ipv4', '-s', address]
    return (await run('conntrack', args, { timeoutMs: CONNTRACK_TIMEOUT_MS })).stdout
  } catch (error) {
    // some versions exit with 1 when there was no connection
    if ((error as { exitCode?: number }).exitCode === 1) return ''
    throw error
  }
}
