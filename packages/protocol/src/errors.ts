interface ErrorEntry {
  status: number
  /** What the user can do. */
  remedy: string
  /** Default of the `Retry-After` header; an error may carry another time. Absent: waiting alone does not help. */
  retryAfterSeconds?: number
  /**
   * The request may have had effects before it failed. Clients retry 429, 502, 503 and 504 by themselves, even a POST, so
   * `Should-Retry: false` tells them not to. An error that only sometimes has effects sets
   * `SandlotErrorOptions.mayHaveActed`.
   */
  mayHaveActed?: boolean
  /** The request had no effect and a retry may succeed at once, which the HTTP status alone does not tell clients. */
  isTransient?: boolean
}

/**
 * Every error by its code: the HTTP status, what the user can do, when a retry is worth it, and whether one is safe.
 * `rate_limited` is for limits that clear by waiting. A quota that stays full until something is deleted or ends is
 * `quota_exceeded`, with the status that E2B's clients know (429).
 */
export const errorTable = {
  invalid_request: { status: 400, remedy: 'Correct the field that the message names.' },
  build_failed: {
    status: 400,
    remedy: 'Read the log of the build, and correct the step that the message names.',
  },
  unauthorized: { status: 401, remedy: 'Send a valid API key in X-API-KEY, or sign in again.' },
  forbidden: { status: 403, remedy: 'Use a key of the team that owns the resource.' },
  not_found: {
    status: 404,
    remedy: 'Check the id or the name: it does not exist, or belongs to another team.',
  },
  checkpoint_not_found: {
    status: 404,
    remedy: 'List the checkpoints that are left with GET /sandboxes/{sandboxID}/tree.',
  },
  volume_not_mounted: {
    status: 404,
    remedy: 'Look at `volumeMounts` of GET /sandboxes/{sandboxID} for the paths that have volumes.',
  },
  request_timeout: { status: 408, remedy: 'Send the body of the request without long pauses.' },
  conflict: {
    status: 409,
    remedy:
      'Wait for the other operation to end, or bring the resource into the state that the message names.',
  },
  idempotency_request_mismatch: { status: 409, remedy: 'Use a new Idempotency-Key for a new request.' },
  idempotency_in_progress: {
    status: 409,
    remedy: 'Repeat the request in a moment: the first request with this key is still running.',
    retryAfterSeconds: 1,
  },
  sandbox_snapshot_guest_agent_unresponsive: {
    status: 409,
    remedy: 'Resume the sandbox with memory: false, which boots it from its files.',
  },
  secret_limit_reached: { status: 409, remedy: 'Delete secrets that are no longer used.' },
  payload_too_large: { status: 413, remedy: 'Send less: the message names the limit.' },
  // not 409, which E2B's clients take for "is paused already"
  checkpoint_blocked: {
    status: 422,
    remedy:
      'End the process that the message names, or pause without the memory: the sandbox runs as before.',
  },
  idempotency_outcome_unknown: {
    status: 422,
    remedy:
      'Look at what exists, then use a new Idempotency-Key: the server stopped before it stored the outcome.',
    mayHaveActed: true,
  },
  rate_limited: {
    status: 429,
    remedy: 'Wait for the time in Retry-After, then repeat the request.',
    retryAfterSeconds: 1,
  },
  quota_exceeded: {
    status: 429,
    remedy: 'Delete or end what fills the quota that the message names, or ask for a larger plan.',
  },
  internal_server_error: {
    status: 500,
    remedy: "Report the request id of the message to the administrator: the server's log says more.",
    mayHaveActed: true,
  },
  sandbox_create_failed: {
    status: 500,
    remedy: 'Repeat the request: nothing was left behind.',
    isTransient: true,
  },
  checkpoint_failed: { status: 500, remedy: 'Repeat the request: the sandbox keeps running as before.' },
  checkpoint_damaged: {
    status: 500,
    remedy: 'Use another checkpoint of the sandbox: this one cannot be read.',
  },
  not_implemented: {
    status: 501,
    remedy: 'Leave out the field or the call: this version of Sandlot does not have it.',
  },
  sandbox_unreachable: {
    status: 502,
    remedy: 'Check that the sandbox runs and that a server in it listens on the port.',
    mayHaveActed: true,
  },
  sandbox_capacity_unavailable: {
    status: 503,
    remedy: 'Repeat the request later: the machine has no room for another sandbox now.',
    retryAfterSeconds: 5,
  },
  sandbox_guest_unresponsive: {
    status: 503,
    remedy: 'Repeat the request later, or pause without requireHealthyGuest.',
    retryAfterSeconds: 5,
  },
  firewall_unavailable: { status: 503, remedy: 'Repeat the request in a moment.', retryAfterSeconds: 2 },
  server_draining: {
    status: 503,
    remedy: 'Repeat the request when the server has restarted.',
    retryAfterSeconds: 5,
  },
  idempotency_unavailable: {
    status: 503,
    remedy: 'Repeat the request with its key in a moment.',
    retryAfterSeconds: 1,
  },
  checkpoint_store_unavailable: {
    status: 503,
    remedy: 'Repeat the request later: the object store does not answer.',
    retryAfterSeconds: 5,
  },
  secrets_unavailable: {
    status: 503,
    remedy:
      'Ask the administrator to give the server the key that secrets are encrypted with: its log says what is wrong.',
  },
  volume_unavailable: {
    status: 503,
    remedy:
      'Repeat the request later: the volume cannot be mounted on this machine now. `sandlot doctor` says why.',
    retryAfterSeconds: 5,
  },
  store_unavailable: {
    status: 503,
    remedy: 'Repeat the request later: the database does not answer.',
    retryAfterSeconds: 2,
  },
  operation_timeout: {
    status: 504,
    remedy: 'Check whether the operation was done before you repeat it.',
    mayHaveActed: true,
  },
  disk_full: {
    status: 507,
    remedy: 'Delete snapshots, templates and paused sandboxes, or give the server more disk.',
  },
} as const satisfies Record<string, ErrorEntry>

export type ErrorName = keyof typeof errorTable

export const ERROR_NAMES = Object.keys(errorTable) as ErrorName[]

/** JSON body of every error of the REST API: `{code, message, error_code?}` (wire spec, section 2). */
export interface ErrorBody {
  /** HTTP status, repeated: clients test it in the body. */
  code: number
  message: string
  error_code?: string
}

export interface SandlotErrorOptions {
  cause?: unknown
  /** Sent as the `Retry-After` header, in whole seconds. Default: what the table says. */
  retryAfterSeconds?: number
  /** Default: what the table says. */
  mayHaveActed?: boolean
}

/** The only error class that packages throw at each other. `message` is shown to users: it names the value and the remedy. */
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
    this.retryAfterSeconds = options.retryAfterSeconds ?? entry.retryAfterSeconds
    this.mayHaveActed = options.mayHaveActed ?? entry.mayHaveActed ?? false
  }

  /** Value of the `Should-Retry` header; undefined: no header, so clients decide by the status. */
  get shouldRetry(): boolean | undefined {
    if (this.mayHaveActed) return false
    const { isTransient }: ErrorEntry = errorTable[this.errorName]
    return isTransient
  }

  toBody(): ErrorBody {
    return { code: this.status, message: this.message, error_code: this.errorName }
  }
}

/** Marks an error of a request that had effects before it failed, so that clients do not retry. */
export function afterActing(error: unknown): unknown {
  if (!(error instanceof SandlotError) || error.mayHaveActed) return error
  const { errorName, message, retryAfterSeconds } = error
  return new SandlotError(errorName, message, { cause: error, retryAfterSeconds, mayHaveActed: true })
}
