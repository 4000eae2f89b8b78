import createClient, { type Client } from 'openapi-fetch'
import type { ConnectionConfig } from '../connection-config.ts'
import { AuthenticationError } from '../errors.ts'
import { pooledFetch } from '../http/pools.ts'
import { retryWhenBusy } from '../http/retry.ts'
import { operatingSystem, runtime, runtimeVersion } from '../http/runtime.ts'
import { missingKeyHint } from '../local-server.ts'
import type { Logger } from '../logger.ts'
import { VERSION } from '../version.ts'
import type { paths } from './paths.ts'

const MISSING_KEY =
  "API key is required: set the environment variable E2B_API_KEY, or pass it like Sandbox.create({ apiKey: 'e2b_...' })."

/** Methods of the REST API by route, typed with the parameters, bodies and answers of each route. */
export type Api = Client<paths>

/**
 * Typed client of the REST API. Retries requests as `Retry-After` allows, logs requests, and shares one connection pool
 * with all other clients of the process.
 *
 * @example
 * ```ts
 * const client = new ApiClient(new ConnectionConfig())
 * const { data, error } = await client.api.GET('/templates')
 * ```
 */
export class ApiClient {
  readonly api: Api

  /** @throws {@link AuthenticationError} without an API key, unless `requireApiKey` is false */
  constructor(config: ConnectionConfig, opts: { requireApiKey?: boolean } = {}) {
    if (!config.apiKey && (opts.requireApiKey ?? true)) throw new AuthenticationError(MISSING_KEY)
    const send = retryWhenBusy(pooledFetch('api', config.proxy), config)
    this.api = createClient<paths>({
      baseUrl: config.apiUrl,
      fetch: logged(send, config.logger),
      headers: {
        ...clientHeaders,
        ...(config.apiKey && { 'X-API-KEY': config.apiKey }),
        ...config.headers,
      },
      // lists are sent as `state=running,paused`
      querySerializer: { array: { style: 'form', explode: false } },
    })
  }
}

/**
 * Creates the client for a call of the SDK. Without an API key, the error says how to get a key from a Sandlot on
 * this machine.
 */
export async function openApi(config: ConnectionConfig): Promise<ApiClient['api']> {
  if (!config.apiKey) throw new AuthenticationError(`${MISSING_KEY} ${await missingKeyHint()}`)
  return new ApiClient(config).api
}

export const clientHeaders = {
  lang: 'js',
  lang_version: runtimeVersion,
  package_version: VERSION,
  publisher: 'e2b',
  sdk_runtime: runtime,
  system: operatingSystem(),
}

function logged(
  send: (request: Request) => Promise<Response>,
  logger: Logger | undefined,
): (request: Request) => Promise<Response> {
  if (!logger) return send
  return async (request) => {
    logger.info?.(`Request ${request.method} ${request.url}`)
    const response = await send(request)
    const level = response.status >= 400 ? 'error' : 'info'
    logger[level]?.('Response:', response.status, response.statusText)
    return response
  }
}
