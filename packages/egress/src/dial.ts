import { isIPv4, type Socket } from 'node:net'
import { connectFirst } from './connect-first.ts'
import { type Dial, DialError, type Target } from './connection.ts'
import type { ClosedRanges } from './ranges.ts'
import type { NameResolver } from './resolve.ts'
import { openTunnel } from './socks5.ts'

export interface DialOptions {
  resolver: NameResolver
  closed: ClosedRanges
  /** For the lookup, the connection and the handshake with a proxy together. */
  timeoutMs: number
}

/** Makes the function that connects to targets, directly or through the proxy of a policy. Never connects to a closed range. */
export function createDial(options: DialOptions): Dial {
  return async (target, signal) => {
    const deadline = new AbortController()
    const abort = () => deadline.abort(signal.reason)
    const timer = setTimeout(
      () => deadline.abort(new Error(`no connection within ${options.timeoutMs} ms`)),
      options.timeoutMs,
    )
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
    try {
      return await raced(dialTarget(target, options, deadline.signal), deadline.signal)
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
    }
  }
}

async function dialTarget(target: Target, options: DialOptions, signal: AbortSignal): Promise<Socket> {
  const { sandboxId, name, address, port, proxy } = target
  if (name === undefined && options.closed.has(address))
    throw new DialError('private_address', `${address} is in a range that is closed to sandboxes`)
  if (proxy) {
    const addresses = await addressesOf(proxy.host, sandboxId, options, 'proxy_private_address').catch(
      asProxyFault,
    )
    const socket = await connectFirst(addresses, proxy.port, signal).catch(asProxyFault)
    return openTunnel(socket, proxy, { host: name ?? address, port }, signal)
  }
  const addresses =
    name === undefined ? [address] : await addressesOf(name, sandboxId, options, 'private_address')
  return connectFirst(addresses, port, signal)
}

/**
 * Looks a name up. One address in a closed range refuses the name as a whole: whoever controls a name could otherwise lead
 * a sandbox into the networks of the host (DNS rebinding).
 */
async function addressesOf(
  host: string,
  sandboxId: string,
  { resolver, closed }: DialOptions,
  reason: string,
): Promise<string[]> {
  const addresses = isIPv4(host) ? [host] : await resolver.resolve(host, sandboxId)
  const closedAddress = addresses.find((address) => closed.has(address))
  if (closedAddress === undefined) return addresses
  throw new DialError(reason, `'${host}' leads to ${closedAddress}, in a range that is closed to sandboxes`)
}

function asProxyFault(error: unknown): never {
  if (!(error instanceof DialError) || error.reason.startsWith('proxy_')) throw error
  throw new DialError('proxy_unreachable', `the proxy cannot be reached: ${error.message}`, { cause: error })
}

/** A lookup cannot be aborted, so its result is ignored. A connection that comes too late is closed. */
function raced(dialling: Promise<Socket>, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      reject(new DialError('connect_timeout', String(signal.reason?.message ?? signal.reason)))
      dialling.then(
        (socket) => socket.destroy(),
        () => {},
      )
    }
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    dialling.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
