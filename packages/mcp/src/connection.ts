import { ApiClient, ConnectionConfig, type ConnectionOpts, E2B, type Sandbox } from './sdk.ts'

/** How to reach one Sandlot as one team. */
export type ConnectionSettings = Pick<ConnectionOpts, 'apiKey' | 'apiUrl' | 'sandboxUrl' | 'domain' | 'debug'>

/** Every call inside a sandbox gives the sandbox at least this time to live. */
const KEPT_ALIVE_MS = 300_000
/** Time to live after the longest call. */
const AFTER_CALL_MS = 60_000
const REQUEST_TIMEOUT_MS = 120_000

/** The SDK's classes bound to one API key. Each caller has one of its own, so that keys are never mixed. */
export class Connection {
  readonly Sandbox: typeof Sandbox
  readonly config: ConnectionConfig
  readonly #settings: ConnectionSettings

  constructor(settings: ConnectionSettings) {
    this.#settings = { ...settings, requestTimeoutMs: REQUEST_TIMEOUT_MS } as ConnectionSettings
    this.Sandbox = new E2B(this.#settings).Sandbox
    this.config = new ConnectionConfig(this.#settings)
  }

  /** Methods of the REST API that the SDK's classes do not have. @throws AuthenticationError without a key */
  get api(): ApiClient['api'] {
    return new ApiClient(this.config).api
  }

  /**
   * Connects to a sandbox, resumes the sandbox if it is paused, and keeps it alive for the call and at least 5 minutes.
   *
   * @param callMs longest time that the call may take, in milliseconds
   * @throws SandboxNotFoundError when the sandbox does not exist
   */
  open(sandboxId: string, signal: AbortSignal, callMs = 0): Promise<Sandbox> {
    const timeoutMs = Math.max(KEPT_ALIVE_MS, callMs + AFTER_CALL_MS)
    return this.Sandbox.connect(sandboxId, { timeoutMs, signal })
  }

  /** Returns the URL and headers of one port, for requests of this server. */
  route(sandbox: Sandbox, port: number): { url: string; headers: Record<string, string> } {
    const { trafficAccessToken } = sandbox
    return {
      url: this.config.sandboxUrl ?? `https://${sandbox.getHost(port)}`,
      headers: {
        'E2b-Sandbox-Id': sandbox.sandboxId,
        'E2b-Sandbox-Port': String(port),
        ...(trafficAccessToken && { 'e2b-traffic-access-token': trafficAccessToken }),
      },
    }
  }
}
