import { environmentVariable } from '../http/runtime.ts'
import type { Logger } from '../logger.ts'

const DEFAULT_DOMAIN = 'e2b.app'
const DEBUG_API_URL = 'http://localhost:8080'
const DEFAULT_REQUEST_TIMEOUT_MS = 60_000

/** How to reach the content of a volume. */
export interface VolumeApiOpts {
  /** @default the token of the volume */
  token?: string
  /** Domain of the content API, `api.<domain>`. @default the volume's domain, else E2B_DOMAIN, else `e2b.app` */
  domain?: string
  /**
   * Talk to a content API at localhost:8080.
   *
   * @internal
   * @default the volume's setting, else true if E2B_DEBUG is `true`
   */
  debug?: boolean
  /** @internal @default E2B_VOLUME_API_URL, else `https://api.<domain>` */
  apiUrl?: string
  /**
   * Timeout of the request in **milliseconds**; 0 means no limit.
   *
   * @default 60_000; 3_600_000 to read and write files
   */
  requestTimeoutMs?: number
  /** Logger for each request and answer. @default none */
  logger?: Logger
  headers?: Record<string, string>
  /** HTTP proxy. @default the volume's proxy */
  proxy?: string
  /** Cancels the request; the promise rejects with the reason of the signal. */
  signal?: AbortSignal
}

/** Fields of a volume that its connection needs. */
export interface VolumeAddress {
  token: string
  domain?: string
  debug?: boolean
  proxy?: string
}

/** {@link VolumeApiOpts} with every default filled in. */
export class VolumeConnectionConfig {
  readonly domain: string
  readonly debug: boolean
  readonly apiUrl: string
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly logger?: Logger
  readonly requestTimeoutMs: number
  readonly signal?: AbortSignal
  readonly proxy?: string

  constructor(volume: VolumeAddress, opts: VolumeApiOpts = {}) {
    this.domain = opts.domain || volume.domain || environmentVariable('E2B_DOMAIN') || DEFAULT_DOMAIN
    this.debug = opts.debug ?? volume.debug ?? environmentVariable('E2B_DEBUG')?.toLowerCase() === 'true'
    this.apiUrl =
      opts.apiUrl ||
      environmentVariable('E2B_VOLUME_API_URL') ||
      (this.debug ? DEBUG_API_URL : `https://api.${this.domain}`)
    this.token = opts.token ?? volume.token
    this.headers = opts.headers
    this.logger = opts.logger
    this.requestTimeoutMs = opts.requestTimeoutMs ?? DEFAULT_REQUEST_TIMEOUT_MS
    this.signal = opts.signal
    this.proxy = opts.proxy ?? volume.proxy
  }

  /**
   * Returns a signal that aborts after the request timeout (0: never) or with the caller's signal, whichever is
   * first.
   */
  getSignal(requestTimeoutMs?: number, signal?: AbortSignal): AbortSignal | undefined {
    const timeoutMs = requestTimeoutMs ?? this.requestTimeoutMs
    const given = signal ?? this.signal
    if (!timeoutMs) return given
    const timeout = AbortSignal.timeout(timeoutMs)
    return given ? AbortSignal.any([given, timeout]) : timeout
  }
}
