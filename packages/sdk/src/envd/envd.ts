import type { Interceptor, Transport } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-web'
import { ConnectionConfig, type Username } from '../connection-config.ts'
import { pooledFetch } from '../http/pools.ts'
import { envdSince, isAtLeast } from './version.ts'

const HEALTH_PROBE_TIMEOUT_MS = 5_000
const DEFAULT_USER = 'user'

export interface EnvdAddress {
  /** Without a slash at the end. */
  url: string
  sandboxId: string
  accessToken?: string
  version: string
}

/** Client of one sandbox's envd: the address, headers, connections and version that all calls share. */
export class Envd {
  readonly version: string
  readonly transport: Transport
  private readonly url: string
  private readonly headers: Record<string, string>
  private readonly send: typeof globalThis.fetch
  private readonly config: ConnectionConfig

  constructor(config: ConnectionConfig, { url, sandboxId, accessToken, version }: EnvdAddress) {
    this.config = config
    this.version = version
    this.url = url
    const userAgent = Object.entries(config.headers ?? {}).find(([name]) => /^user-agent$/i.test(name))
    this.headers = {
      ...(userAgent && { 'User-Agent': userAgent[1] }),
      'E2b-Sandbox-Id': sandboxId,
      'E2b-Sandbox-Port': String(ConnectionConfig.envdPort),
      ...(accessToken && { 'X-Access-Token': accessToken }),
    }
    this.send = pooledFetch('files', config.proxy)
    this.transport = createConnectTransport({
      baseUrl: url,
      useBinaryFormat: false,
      fetch: pooledFetch('rpc', config.proxy),
      interceptors: [this.addHeaders, ...(config.logger ? [this.log] : [])],
    })
  }

  supports(feature: keyof typeof envdSince): boolean {
    return isAtLeast(this.version, envdSince[feature])
  }

  /** Sends a request to one of the REST routes. `query` entries that are undefined are left out. */
  fetch(
    path: string,
    query: Record<string, string | undefined> = {},
    init: RequestInit & { headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const pairs = Object.entries(query).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${encodeURIComponent(value)}`],
    )
    const url = `${this.url}${path}${pairs.length > 0 ? `?${pairs.join('&')}` : ''}`
    return this.logged(url, { ...init, headers: { ...this.headers, ...init.headers } })
  }

  /** @returns whether the sandbox runs; undefined when the health check does not tell. Never throws */
  async probeHealth(): Promise<boolean | undefined> {
    try {
      const response = await this.fetch(
        '/health',
        {},
        { signal: AbortSignal.timeout(HEALTH_PROBE_TIMEOUT_MS) },
      )
      await response.arrayBuffer()
      if (response.ok) return true
      return response.status === 502 ? false : undefined
    } catch {
      return undefined
    }
  }

  /** User for a REST query. Before version 0.4.0, envd has no default user. */
  userFor(user: Username | undefined): Username | undefined {
    return user ?? (this.supports('defaultUser') ? undefined : DEFAULT_USER)
  }

  /** Header with the user for an RPC: envd reads the user name of Basic authentication. */
  userHeader(user: Username | undefined): Record<string, string> {
    const name = this.userFor(user)
    return name === undefined ? {} : { Authorization: `Basic ${base64(`${name}:`)}` }
  }

  private async logged(url: string, init: RequestInit): Promise<Response> {
    const { logger } = this.config
    logger?.info?.(`Request ${init.method ?? 'GET'} ${url}`)
    // a sandbox could redirect its client to servers in the client's network
    const response = await this.send(url, { redirect: 'error', ...init })
    logger?.[response.status >= 400 ? 'error' : 'info']?.('Response:', response.status, response.statusText)
    return response
  }

  private addHeaders: Interceptor = (next) => (request) => {
    for (const [name, value] of Object.entries(this.headers)) request.header.set(name, value)
    return next(request)
  }

  private log: Interceptor = (next) => async (request) => {
    const { logger } = this.config
    logger?.info?.(`Request: POST ${request.url}`)
    const response = await next(request)
    if (!response.stream) {
      logger?.info?.('Response:', response.message)
      return response
    }
    const { message } = response
    return {
      ...response,
      message: (async function* () {
        for await (const event of message) {
          logger?.debug?.('Response stream:', event)
          yield event
        }
      })(),
    }
  }
}

const base64 = (text: string): string => btoa(String.fromCharCode(...new TextEncoder().encode(text)))
