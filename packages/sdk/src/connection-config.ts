import { environmentVariable } from './http/runtime.ts'
import { announceLocalServer, findLocalServer } from './local-server.ts'
import type { Logger } from './logger.ts'
import { VERSION } from './version.ts'

const DEFAULT_DOMAIN = 'e2b.app'
const DEBUG_API_URL = 'http://localhost:3000'
const DEFAULT_REQUEST_TIMEOUT_MS = 60_000
const DEFAULT_RETRIES = 3
const USER_AGENT_PREFIX = 'e2b-js-sdk/'
/** Domains whose edge serves all sandboxes at one host, `sandbox.<domain>`, and tells them apart by header. */
const SHARED_HOST_DOMAINS = ['e2b.app', 'e2b.dev', 'e2b.pro', 'e2b-staging.dev']

/**
 * How to reach the API. An option overrides its environment variable, which overrides the default. When neither a key
 * nor an address is given, Node, Bun and Deno look for a Sandlot on this machine: `$SANDLOT_HOME/env`,
 * `./.sandlot/env`.
 */
export interface ConnectionOpts {
  /** @default E2B_API_KEY */
  apiKey?: string
  /** @deprecated Has no effect: the server checks keys. */
  validateApiKey?: boolean
  /**
   * Suffix of the host names of the API and of sandboxes; may include a port.
   *
   * @default E2B_DOMAIN, else `e2b.app`
   */
  domain?: string
  /** @internal @default E2B_API_URL, else `https://api.<domain>` */
  apiUrl?: string
  /**
   * One base URL for all requests to sandboxes, instead of one host per sandbox.
   *
   * @internal
   * @default E2B_SANDBOX_URL
   */
  sandboxUrl?: string
  /** Talk to an envd at localhost:49983 without the API. @internal @default true if E2B_DEBUG is `true` */
  debug?: boolean
  /**
   * Timeout of one request in **milliseconds**, retries included; 0 means no limit. For streams the timeout applies
   * until the first answer. The call rejects with a {@link TimeoutError} or a `DOMException` named `TimeoutError`.
   *
   * @default 60_000
   */
  requestTimeoutMs?: number
  /**
   * Maximum number of retries of a request that was answered with 429 or 503. The client waits the whole seconds of the
   * `Retry-After` header, and retries only if that wait fits into the request timeout.
   *
   * @default 3
   */
  retries?: number
  /** Logger for each request and answer, for example `console`. @default none */
  logger?: Logger
  /** @deprecated Use `apiHeaders`. */
  headers?: Record<string, string>
  /** Additional headers for requests to the API, but not for requests to sandboxes. */
  apiHeaders?: Record<string, string>
  /**
   * HTTP proxy for all requests, including those of the returned sandbox. Browsers and edge workers ignore the proxy.
   *
   * @example 'http://user:password@127.0.0.1:8080'
   */
  proxy?: string
  /** Cancels the request; the promise rejects with the reason of the signal. */
  signal?: AbortSignal
}

/** @deprecated Use {@link ConnectionOpts}. */
export type ConnectionConfigOpts = ConnectionOpts

/** A user of the sandbox's operating system, for example `user` or `root`. */
export type Username = string

/**
 * {@link ConnectionOpts} with every default and environment variable filled in at construction; never changes
 * afterwards.
 */
export class ConnectionConfig {
  static envdPort = 49983
  private static integration?: string

  readonly debug: boolean
  readonly domain: string
  readonly apiUrl: string
  readonly sandboxUrl?: string
  readonly logger?: Logger
  readonly requestTimeoutMs: number
  readonly retries: number
  readonly apiKey?: string
  /** @deprecated Has no effect: the server checks keys. */
  readonly validateApiKey?: boolean
  readonly headers?: Record<string, string>
  /** @internal */
  readonly requestSource?: string
  readonly proxy?: string

  constructor(opts: ConnectionOpts = {}) {
    const local = isUnconfigured(opts) ? findLocalServer() : undefined
    if (local) announceLocalServer(local, opts.logger)

    this.debug = opts.debug ?? environmentVariable('E2B_DEBUG')?.toLowerCase() === 'true'
    this.domain = opts.domain || environmentVariable('E2B_DOMAIN') || local?.domain || DEFAULT_DOMAIN
    this.apiUrl =
      opts.apiUrl ||
      environmentVariable('E2B_API_URL') ||
      local?.apiUrl ||
      (this.debug ? DEBUG_API_URL : `https://api.${this.domain}`)
    this.sandboxUrl = opts.sandboxUrl || environmentVariable('E2B_SANDBOX_URL') || local?.sandboxUrl
    this.apiKey = opts.apiKey || environmentVariable('E2B_API_KEY') || local?.apiKey
    this.logger = opts.logger
    this.requestTimeoutMs = opts.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS
    this.retries = opts.retries ?? DEFAULT_RETRIES
    this.validateApiKey = opts.validateApiKey
    this.requestSource = requestSource()
    this.headers = this.withUserAgent({ ...opts.headers, ...opts.apiHeaders })
    this.proxy = opts.proxy
  }

  /**
   * Names a library that wraps this SDK in the `User-Agent` of every request, for example
   * `e2b-code-interpreter/0.1.0`. Existing configurations keep their value; undefined clears the name.
   *
   * @internal
   */
  static setIntegration(integration: string | undefined): void {
    ConnectionConfig.integration = integration
  }

  /** Options bound to a class, overridden by options of one call except those that are `undefined`. @internal */
  static mergeOpts<T extends ConnectionOpts>(boundOpts: ConnectionOpts | undefined, opts?: T): T | undefined {
    if (!boundOpts) return opts
    const given = Object.entries(opts ?? {}).filter(([, value]) => value !== undefined)
    return { ...boundOpts, ...Object.fromEntries(given) } as T
  }

  /**
   * Returns a signal that aborts after the request timeout (0: never) or with the caller's signal, whichever is
   * first.
   */
  getSignal(requestTimeoutMs?: number, signal?: AbortSignal): AbortSignal | undefined {
    const timeoutMs = requestTimeoutMs ?? this.requestTimeoutMs
    if (!timeoutMs) return signal
    const timeout = AbortSignal.timeout(timeoutMs)
    return signal ? AbortSignal.any([signal, timeout]) : timeout
  }

  /** Base URL for the SDK's own requests to envd. */
  getSandboxUrl(sandboxId: string, opts: { sandboxDomain: string; envdPort: number }): string {
    if (this.sandboxUrl) return this.sandboxUrl
    if (!this.debug && SHARED_HOST_DOMAINS.includes(opts.sandboxDomain))
      return `https://sandbox.${opts.sandboxDomain}`
    return this.getSandboxDirectUrl(sandboxId, opts)
  }

  /** Base URL with the sandbox's own host, which needs no headers to find the sandbox (upload and download URLs). */
  getSandboxDirectUrl(sandboxId: string, opts: { sandboxDomain: string; envdPort: number }): string {
    if (this.sandboxUrl) return this.sandboxUrl
    return `${this.debug ? 'http' : 'https'}://${this.getHost(sandboxId, opts.envdPort, opts.sandboxDomain)}`
  }

  /** `<port>-<sandboxId>.<domain>`, without a scheme. */
  getHost(sandboxId: string, port: number, sandboxDomain: string): string {
    return this.debug ? `localhost:${port}` : `${port}-${sandboxId}.${sandboxDomain}`
  }

  /** Adds the `User-Agent`. The caller's own is kept; one that was copied from an earlier configuration is replaced. */
  private withUserAgent(headers: Record<string, string>): Record<string, string> {
    const own = Object.keys(headers).find((name) => name.toLowerCase() === 'user-agent')
    if (own && !headers[own]!.startsWith(USER_AGENT_PREFIX)) return headers
    if (own) delete headers[own]
    const source = this.requestSource && `source/${this.requestSource}`
    const parts = [`${USER_AGENT_PREFIX}${VERSION}`, ConnectionConfig.integration, source]
    return { ...headers, 'User-Agent': parts.filter(Boolean).join(' ') }
  }
}

/** Whether neither an option nor the environment gives a key or an address. */
const isUnconfigured = (opts: ConnectionOpts): boolean =>
  !(opts.apiKey || opts.domain || opts.apiUrl || opts.sandboxUrl || opts.debug) &&
  !['E2B_API_KEY', 'E2B_DOMAIN', 'E2B_API_URL', 'E2B_SANDBOX_URL', 'E2B_DEBUG'].some(environmentVariable)

function requestSource(): string | undefined {
  const source = environmentVariable('E2B_USER_AGENT_SOURCE')
  return source && /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/.test(source) ? source : undefined
}

/**
 * Base of the classes with static methods, so that an {@link E2B} client can bind its options to a subclass of each.
 *
 * @internal
 */
export class ClientFactory {
  protected static readonly boundOpts?: Omit<ConnectionOpts, 'signal'>

  protected static resolveOpts<T extends ConnectionOpts>(opts?: T): T | undefined {
    return ConnectionConfig.mergeOpts(this.boundOpts, opts)
  }
}
