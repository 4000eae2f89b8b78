interface ErrorEntry {
  status: number
  /**
   * Something may have been done before the error was answered. Clients repeat 429, 502, 503 and 504 by themselves, a POST
   * too: these they are told not to. Where it depends on who throws, `SandlotErrorOptions.mayHaveActed` says so.
   */
  mayHaveActed?: boolean
  /** Nothing was done and the same request may well succeed now, which its status does not tell clients. */
  isTransient?: boolean
}

/** The one table of what can go wrong: HTTP status, machine-readable code, and whether a request may be repeated. */
export const errorTable = {
  invalid_request: { status: 400 },
  unauthorized: { status: 401 },
  forbidden: { status: 403 },
  not_found: { status: 404 },
  checkpoint_not_found: { status: 404 },
  request_timeout: { status: 408 },
  conflict: { status: 409 },
  idempotency_request_mismatch: { status: 409 },
  idempotency_in_progress: { status: 409 },
  idempotency_unavailable: { status: 503 },
  idempotency_outcome_unknown: { status: 422, mayHaveActed: true },
  sandbox_snapshot_guest_agent_unresponsive: { status: 409 },
  payload_too_large: { status: 413 },
  rate_limited: { status: 429 },
  internal_server_error: { status: 500, mayHaveActed: true },
  not_implemented: { status: 501 },
  sandbox_unreachable: { status: 502, mayHaveActed: true },
  sandbox_capacity_unavailable: { status: 503 },
  sandbox_guest_unresponsive: { status: 503 },
  firewall_unavailable: { status: 503 },
  sandbox_create_failed: { status: 500, isTransient: true },
  build_failed: { status: 400 },
  checkpoint_failed: { status: 500 },
  server_draining: { status: 503 },
  operation_timeout: { status: 504, mayHaveActed: true },
  disk_full: { status: 507 },
  checkpoint_damaged: { status: 500 },
  checkpoint_store_unavailable: { status: 503 },
  store_unavailable: { status: 503 },
} as const satisfies Record<string, ErrorEntry>

export type ErrorName = keyof typeof errorTable

/** JSON body of every error of the REST API: `{code, message, error_code?}` (wire spec, section 2). */
export interface ErrorBody {
  /** HTTP status, repeated: clients test it in the body. */
  code: number
  message: string
  error_code?: string
}

export interface SandlotErrorOptions {
  cause?: unknown
  /** Sent as the `Retry-After` header, in whole seconds. */
  retryAfterSeconds?: number
  /** Default: what the table says. */
  mayHaveActed?: boolean
}

/** The only error class that crosses a package's door. `message` is shown to users: name the value and the mend. */
export class SandlotError extends Error {
  readonly errorName: ErrorName
  readonly status: number
  readonly retryAfterSeconds: number | undefined
  readonly mayHaveActed: boolean

  constructor(errorName: ErrorName, message: string, options: SandlotErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'SandlotError'
    this.errorName = errorName
    const entry: ErrorEntry = errorTable[errorName]
    this.status = entry.status
    this.retryAfterSeconds = options.retryAfterSeconds
    this.mayHaveActed = options.mayHaveActed ?? entry.mayHaveActed ?? false
  }

  /** What the `Should-Retry` header says; undefined: clients go by the status. */
  get shouldRetry(): boolean | undefined {
    if (this.mayHaveActed) return false
    const { isTransient }: ErrorEntry = errorTable[this.errorName]
    return isTransient
  }

  toBody(): ErrorBody {
    return { code: this.status, message: this.message, error_code: this.errorName }
  }
}

/** The same error, of a request that had done something before it failed. */
export function afterActing(error: unknown): unknown {
  if (!(error instanceof SandlotError) || error.mayHaveActed) return error
  const { errorName, message, retryAfterSeconds } = error
  return new SandlotError(errorName, message, { cause: error, retryAfterSeconds, mayHaveActed: true })
}
