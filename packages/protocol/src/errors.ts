/** The one table of what can go wrong: HTTP status, machine-readable code, and what the user can do. */
export const errorTable = {
  invalid_request: { status: 400 },
  unauthorized: { status: 401 },
  forbidden: { status: 403 },
  not_found: { status: 404 },
  checkpoint_not_found: { status: 404 },
  request_timeout: { status: 408 },
  conflict: { status: 409 },
  payload_too_large: { status: 413 },
  rate_limited: { status: 429 },
  internal_server_error: { status: 500 },
  not_implemented: { status: 501 },
  sandbox_unreachable: { status: 502 },
  sandbox_capacity_unavailable: { status: 503 },
  firewall_unavailable: { status: 503 },
  sandbox_create_failed: { status: 500 },
  build_failed: { status: 400 },
  checkpoint_failed: { status: 500 },
  server_draining: { status: 503 },
  operation_timeout: { status: 504 },
  disk_full: { status: 507 },
  checkpoint_damaged: { status: 500 },
  checkpoint_store_unavailable: { status: 503 },
} as const satisfies Record<string, { status: number }>

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
}

/** The only error class that crosses a package's door. `message` is shown to users: name the value and the mend. */
export class SandlotError extends Error {
  readonly errorName: ErrorName
  readonly status: number
  readonly retryAfterSeconds: number | undefined

  constructor(errorName: ErrorName, message: string, options: SandlotErrorOptions = {}) {
    super(message, { cause: options.cause })
    this.name = 'SandlotError'
    this.errorName = errorName
    this.status = errorTable[errorName].status
    this.retryAfterSeconds = options.retryAfterSeconds
  }

  toBody(): ErrorBody {
    return { code: this.status, message: this.message, error_code: this.errorName }
  }
}
