import { randomUUID } from 'node:crypto'
import { isInitializeRequest, WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/server'
import type { ClientSession } from '../gateway/client-session.ts'
import type { Gateway } from '../gateway/gateway.ts'
import { sessionServer } from '../gateway/handlers.ts'
import { EventLog } from './event-log.ts'

/** Beyond this, the session that was used least recently ends; its client starts another one when it comes back. */
const MAX_SESSIONS = 256

interface Session {
  transport: WebStandardStreamableHTTPServerTransport
  client: ClientSession
}

/** Clients of the revisions with sessions, 2024-11-05 to 2025-11-25, over streamable HTTP. */
export class Sessions {
  readonly #gateway: Gateway
  /** The session that was used least recently first. */
  readonly #sessions = new Map<string, Session>()
  readonly events = new EventLog()

  constructor(gateway: Gateway) {
    this.#gateway = gateway
  }

  get size(): number {
    return this.#sessions.size
  }

  async handle(request: Request, body: unknown): Promise<Response> {
    const id = request.headers.get('mcp-session-id')
    const options = { parsedBody: body }
    if (id === null) {
      const messages = Array.isArray(body) ? body : [body]
      if (request.method === 'POST' && messages.some(isInitializeRequest)) {
        return (await this.#open()).handleRequest(request, options)
      }
      return refusal(400, 'the header Mcp-Session-Id is missing')
    }
    const session = this.#sessions.get(id)
    if (!session) return refusal(404, 'there is no such session; start another one')
    this.#sessions.delete(id)
    this.#sessions.set(id, session)
    return session.transport.handleRequest(request, options)
  }

  /** Ends all sessions. */
  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#sessions.values()].map(({ client }) => client.server.close()))
  }

  async #open(): Promise<WebStandardStreamableHTTPServerTransport> {
    const client = sessionServer(this.#gateway)
    const id = randomUUID()
    const transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: () => id,
      eventStore: this.events.storeOf(() => id),
      onsessioninitialized: () => {
        this.#sessions.set(id, { transport, client })
        this.#evict()
      },
    })
    await client.server.connect(transport)
    client.server.onclose = () => {
      this.#sessions.delete(id)
      this.events.forget(id)
      this.#gateway.remove(client)
    }
    return transport
  }

  #evict(): void {
    for (const { client } of this.#sessions.values()) {
      if (this.#sessions.size <= MAX_SESSIONS) return
      void client.server.close()
    }
  }
}

const refusal = (status: number, message: string) =>
  Response.json({ jsonrpc: '2.0', id: null, error: { code: -32000, message } }, { status })
