import type { Dispatcher } from 'undici'
import { environmentVariable, runtime } from './runtime.ts'
import { sendStream } from './send-stream.ts'

type Undici = typeof import('undici')
type Fetch = typeof globalThis.fetch

/**
 * What a connection is used for. Each use has pools of its own, so that long streams never hold up short calls;
 * within a use there is one pool a host, shared by all sandboxes and clients of the process.
 */
export type PoolUse = 'api' | 'rpc' | 'files'

/** Most connections to one host; with HTTP/2 one connection carries many requests and rarely a second opens. */
const connectionLimit: Record<PoolUse, { variable: string; connections: number }> = {
  api: { variable: 'E2B_API_CONNECTIONS', connections: 100 },
  rpc: { variable: 'E2B_ENVD_RPC_CONNECTIONS', connections: 200 },
  files: { variable: 'E2B_ENVD_RPC_CONNECTIONS', connections: 200 },
}
/** Longer than a person thinks between two commands, shorter than the idle limit of load balancers (60 s and up). */
const IDLE_MS = 30_000
const CONNECT_TIMEOUT_MS = 10_000

let undici: Promise<Undici | undefined> | undefined
const dispatchers = new Map<string, Dispatcher>()

/**
 * The fetch for one use, over the process-wide pools. On Node it is undici's, with HTTP/2 where TLS offers it and
 * without Nagle's delay; elsewhere, and where undici was not installed, it is the runtime's own.
 */
export function pooledFetch(use: PoolUse, proxy?: string): Fetch {
  if (runtime === 'bun' && proxy)
    return ((input: Request, init) => fetch(input, { ...init, proxy } as RequestInit)) as Fetch
  if (runtime === 'deno' && proxy) return denoProxyFetch(proxy)
  // its fetch knows no `redirect: 'error'`, which Connect asks for; with `manual` a redirect is an error as well
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

/** undici does not know the runtime's own `Request` and `FormData`: it gets the parts of the one, the bytes of the other. */
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
  const { variable, connections } = connectionLimit[use]
  const connect = client.buildConnector({ allowH2: use !== 'files', timeout: CONNECT_TIMEOUT_MS })
  const options = {
    allowH2: use !== 'files',
    connections: positiveInteger(environmentVariable(variable)) ?? connections,
    keepAliveTimeout: IDLE_MS,
    // Deadlines are the callers': request timeout, command timeout, idle timeout of a stream.
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
