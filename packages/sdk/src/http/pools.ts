import type { Dispatcher } from 'undici'
import { limitInFlight } from './in-flight.ts'
import { environmentVariable, runtime } from './runtime.ts'
import { sendStream } from './send-stream.ts'

type Undici = typeof import('undici')
type Fetch = typeof globalThis.fetch

/**
 * What a connection is used for. Each use has its own pools, so that long streams never delay short calls.
 * Each use has one pool per host, shared by all sandboxes and clients of the process.
 */
export type PoolUse = 'api' | 'rpc' | 'files'

interface Limits {
  /**
   * Maximum number of connections to one host. With HTTP/2 a burst opens several until the first is established,
   * which then carries all requests.
   */
  connections: number
  /** Maximum number of requests that wait for the start of an answer. */
  inFlight: number
}

/** Default limits, and the environment variables that change them (wire spec, section 1.1). */
const limits: Record<PoolUse, Limits & { variables: Record<keyof Limits, string> }> = {
  api: {
    connections: 100,
    inFlight: 1000,
    variables: { connections: 'E2B_API_CONNECTIONS', inFlight: 'E2B_API_INFLIGHT_REQUESTS' },
  },
  rpc: {
    connections: 200,
    inFlight: 2000,
    variables: { connections: 'E2B_ENVD_RPC_CONNECTIONS', inFlight: 'E2B_ENVD_RPC_INFLIGHT_REQUESTS' },
  },
  files: {
    connections: 200,
    inFlight: 2000,
    variables: { connections: 'E2B_ENVD_RPC_CONNECTIONS', inFlight: 'E2B_ENVD_INFLIGHT_REQUESTS' },
  },
}
/**
 * How long an idle connection stays open: longer than a person thinks between two commands, shorter than the idle
 * limit of load balancers (60 s and up).
 */
const IDLE_MS = 30_000
const CONNECT_TIMEOUT_MS = 10_000

let undici: Promise<Undici | undefined> | undefined
const dispatchers = new Map<string, Dispatcher>()
const fetches = new Map<string, Fetch>()

/** Returns the fetch for one use, which has the pools and limits of the whole process. */
export function pooledFetch(use: PoolUse, proxy?: string): Fetch {
  const key = `${use} ${proxy ?? ''}`
  let send = fetches.get(key)
  if (!send) fetches.set(key, (send = limitInFlight(runtimeFetch(use, proxy), limitOf(use, 'inFlight'))))
  return send
}

function limitOf(use: PoolUse, name: keyof Limits): number {
  const { variables, ...defaults } = limits[use]
  return positiveInteger(environmentVariable(variables[name])) ?? defaults[name]
}

/**
 * Returns undici's fetch on Node, with HTTP/2 where TLS offers it and without Nagle's delay; on other runtimes, and
 * where undici is not installed, the runtime's own fetch.
 */
function runtimeFetch(use: PoolUse, proxy?: string): Fetch {
  if (runtime === 'bun' && proxy)
    return ((input: Request, init) => fetch(input, { ...init, proxy } as RequestInit)) as Fetch
  if (runtime === 'deno' && proxy) return denoProxyFetch(proxy)
  // Cloudflare's fetch does not support `redirect: 'error'`, which Connect sets; with `manual` a redirect is
  // an error as well
  if (runtime === 'cloudflare-worker')
    return (input, init) =>
      fetch(input, { ...init, ...(init?.redirect === 'error' && { redirect: 'manual' }) })
  if (runtime !== 'node') return (input, init) => fetch(input, init)
  return async (input, init) => {
    const client = await loadUndici()
    if (!client) return fetch(input, init)
    const [url, request] = expand(input, init)
    const dispatcher = dispatcherFor(client, use, proxy)
    if (request.body instanceof ReadableStream)
      return sendStream(client, url, { ...request, body: request.body }, dispatcher)
    return client.fetch(url, { ...request, dispatcher } as Parameters<typeof client.fetch>[1]) as never
  }
}

function loadUndici(): Promise<Undici | undefined> {
  undici ??= import('undici').then(
    (module) => (module.Agent ? module : undefined),
    () => undefined,
  )
  return undici
}

/**
 * Converts arguments for undici, which does not accept the runtime's own `Request` and `FormData`: a `Request` to its
 * parts, a `FormData` to its bytes.
 */
function expand(input: RequestInfo | URL, init: RequestInit = {}): [string, RequestInit] {
  if (init.body instanceof FormData) {
    const encoded = new Response(init.body)
    const headers = new Headers(init.headers)
    headers.set('Content-Type', encoded.headers.get('Content-Type')!)
    const body = { body: encoded.body, duplex: 'half' }
    return [String(input), { ...init, ...body, headers: [...headers] } as RequestInit]
  }
  if (!(input instanceof Request)) return [String(input), init]
  const { method, headers, signal, redirect } = input
  const body = input.body ? { body: input.body, duplex: 'half' } : {}
  return [input.url, { method, headers: [...headers], signal, redirect, ...body, ...init } as RequestInit]
}

function dispatcherFor(client: Undici, use: PoolUse, proxy?: string): Dispatcher {
  const key = `${use} ${proxy ?? ''}`
  let dispatcher = dispatchers.get(key)
  if (!dispatcher) dispatchers.set(key, (dispatcher = createDispatcher(client, use, proxy)))
  return dispatcher
}

function createDispatcher(client: Undici, use: PoolUse, proxy?: string): Dispatcher {
  const connect = client.buildConnector({ allowH2: use !== 'files', timeout: CONNECT_TIMEOUT_MS })
  const options = {
    allowH2: use !== 'files',
    connections: limitOf(use, 'connections'),
    keepAliveTimeout: IDLE_MS,
    // Callers set the deadlines: request timeout, command timeout, idle timeout of a stream.
    headersTimeout: 0,
    bodyTimeout: 0,
  }
  if (proxy) return new client.ProxyAgent({ ...options, uri: proxy })
  return new client.Agent({
    ...options,
    connect(target, callback) {
      connect(target, (error, socket) => {
        socket?.setNoDelay(true)
        if (error) callback(error, null)
        else callback(null, socket!)
      })
    },
  })
}

function denoProxyFetch(proxy: string): Fetch {
  const { Deno } = globalThis as unknown as {
    Deno: { createHttpClient(options: { proxy: { url: string } }): unknown }
  }
  const client = Deno.createHttpClient({ proxy: { url: proxy } })
  return (input, init) => fetch(input, { ...init, client } as RequestInit)
}

const positiveInteger = (text: string | undefined): number | undefined =>
  text && /^[1-9]\d*$/.test(text) ? Number(text) : undefined
