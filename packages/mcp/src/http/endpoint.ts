import { createMcpHandler } from '@modelcontextprotocol/server'
import { CallLimits } from '../call-limits.ts'
import { Connection, type ConnectionSettings } from '../connection.ts'
import { createMcpServer } from '../mcp-server.ts'
import { MAX_BATCH, RunningRequests } from './running-requests.ts'

/** Calls that run at a time: each may keep about 16 MiB in memory. */
const MAX_CALLS = 48
const MAX_CALLS_OF_TEAM = 16
const KEEP_ALIVE_MS = 15_000

/** One request to the endpoint, whose sender is known. */
export interface McpRequest {
  /** Method and headers; its signal aborts when the client goes away. */
  request: Request
  /** The parsed body of a POST. */
  body: unknown
  apiKey: string
  teamId: string
}

export interface McpEndpointOptions {
  /** Where this server reaches itself: the API and all sandboxes. */
  connection: Required<Pick<ConnectionSettings, 'apiUrl' | 'sandboxUrl' | 'domain'>>
  onError(error: Error): void
}

/**
 * Answers MCP over streamable HTTP without keeping anything between two requests: each has its own server and its own
 * API key. Revisions with sessions get an id that only serves to find the request that a client wants to cancel.
 */
export class McpEndpoint {
  readonly #options: McpEndpointOptions
  readonly #limits = new CallLimits(MAX_CALLS, MAX_CALLS_OF_TEAM)
  readonly #running = new RunningRequests()

  constructor(options: McpEndpointOptions) {
    this.#options = options
  }

  async answer({ request, body, apiKey, teamId }: McpRequest): Promise<Response> {
    if (Array.isArray(body) && body.length > MAX_BATCH) return tooManyMessages(body.length)
    const session = request.headers.get('mcp-session-id')
    if (this.#running.cancel(teamId, session, body)) return new Response(null, { status: 202 })
    if (request.method === 'DELETE' && session) return new Response(null, { status: 204 })
    const connection = new Connection({ ...this.#options.connection, apiKey, debug: false })
    const read = Promise.withResolvers<void>()
    const caller = { connection, limits: this.#limits, owner: teamId, isRead: read.promise }
    const handler = createMcpHandler(() => createMcpServer(caller), {
      keepAliveMs: KEEP_ALIVE_MS,
      maxSubscriptions: 0,
      onerror: (error) => this.#options.onError(error),
    })
    const { signal, end: remove } = this.#running.add(teamId, session, body, request.signal)
    const end = () => {
      remove()
      read.resolve()
    }
    const cancellable = new Request(request.url, { method: request.method, headers: request.headers, signal })
    try {
      const response = await handler.fetch(cancellable, { parsedBody: body })
      if (isInitialize(body)) response.headers.set('mcp-session-id', crypto.randomUUID())
      return whenRead(response, end)
    } catch (error) {
      end()
      throw error
    }
  }

  /** Cancels all calls that run. */
  close(): void {
    this.#running.abortAll()
  }
}

const isInitialize = (body: unknown): boolean =>
  (body as { method?: unknown } | null)?.method === 'initialize'

function tooManyMessages(count: number): Response {
  const message = `a request may have ${MAX_BATCH} messages, and this one has ${count}`
  return Response.json({ jsonrpc: '2.0', id: null, error: { code: -32_600, message } }, { status: 400 })
}

/** Calls `end` once the body was read to its end, or its reader has left. */
function whenRead(response: Response, end: () => void): Response {
  if (!response.body) {
    end()
    return response
  }
  const reader = response.body.getReader()
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read()
        if (!done) return controller.enqueue(value)
        end()
        controller.close()
      } catch (error) {
        end()
        controller.error(error)
      }
    },
    async cancel(reason) {
      end()
      await reader.cancel(reason).catch(() => {})
    },
  })
  return new Response(body, { status: response.status, headers: response.headers })
}
