import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { McpEndpoint as Endpoint } from '@sandlot/mcp/http'
import type { McpEndpoint, McpRequest } from '@sandlot/server'
import type { Logger } from 'pino'
import { askUncompressed, BoundedResponse } from './bounded-response.ts'
import type { ListenersTargets } from './listeners.ts'
import { isForSandboxes } from './traffic.ts'

/** Longer than the SDK keeps idle connections, so that it never uses one that is just being closed. */
const KEEP_ALIVE_MS = 65_000

interface Opened {
  endpoint: Endpoint
  door: Server
}

/**
 * The tools of `@sandlot/mcp` for `/mcp`. Code and memory for them are loaded with the first request. The tools reach API
 * and sandboxes through a listener on the loopback interface, with the key of their caller, like any program.
 */
export class McpTools implements McpEndpoint {
  readonly #domain: string
  readonly #logger: Logger
  #targets: Pick<ListenersTargets, 'edge' | 'api' | 'traffic'> | undefined
  #opened: Promise<Opened> | undefined

  /** @param domain domain of sandbox host names; may include a port */
  constructor(domain: string, logger: Logger) {
    this.#domain = domain
    this.#logger = logger
  }

  /** Says what the tools reach, which is made after the API that has the route. */
  connect(targets: Pick<ListenersTargets, 'edge' | 'api' | 'traffic'>): void {
    this.#targets = targets
  }

  async answer(request: McpRequest): Promise<Response> {
    this.#opened ??= this.#open().catch((error: unknown) => {
      this.#opened = undefined
      throw error
    })
    return (await this.#opened).endpoint.answer(request)
  }

  /** Cancels all calls, and closes the listener. */
  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined)
    this.#opened = undefined
    opened?.endpoint.close()
    opened?.door.close()
    opened?.door.closeAllConnections()
  }

  async #open(): Promise<Opened> {
    const targets = this.#targets
    if (!targets) throw new Error('MCP was asked before the server was connected')
    const { McpEndpoint: Loaded } = await import('@sandlot/mcp/http')
    const door = await listenOnLoopback(requestsTo(targets))
    const url = `http://127.0.0.1:${(door.address() as AddressInfo).port}`
    const endpoint = new Loaded({
      connection: { apiUrl: url, sandboxUrl: url, domain: this.#domain },
      onError: (error) => this.#logger.debug({ err: error }, 'an MCP request failed'),
    })
    return { endpoint, door }
  }
}

/** The headers of the SDK, not the host, say whether a request is for a sandbox. */
const requestsTo =
  ({ edge, api, traffic }: Pick<ListenersTargets, 'edge' | 'api' | 'traffic'>): RequestListener =>
  (request, response) => {
    askUncompressed(request)
    const isOfSandbox = request.headers['e2b-sandbox-id'] !== undefined
    if (isOfSandbox || isForSandboxes(request)) traffic.add(response)
    if (isOfSandbox) edge.handle(request, response, 'sandboxes')
    else api.routing(request as never, response as never)
  }

function listenOnLoopback(onRequest: RequestListener): Promise<Server> {
  const door = createServer({ ServerResponse: BoundedResponse, keepAliveTimeout: KEEP_ALIVE_MS }, onRequest)
  return new Promise((resolve, reject) => {
    door.once('error', reject)
    door.listen(0, '127.0.0.1', () => resolve(door))
  })
}
