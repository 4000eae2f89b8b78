import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { type JSONRPCMessage, parseJSONRPCMessage, type Transport } from '@modelcontextprotocol/server'
import type { Gateway } from '../gateway/gateway.ts'
import { sessionServer } from '../gateway/handlers.ts'

const MAX_SESSIONS = 64
const MAX_UNREAD_BYTES = 8 * 1024 * 1024
const KEEP_ALIVE_MS = 15_000

/** Clients of revision 2024-11-05: one stream for everything that the gateway sends, and a POST for each message. */
export class SseSessions {
  readonly #gateway: Gateway
  readonly #transports = new Map<string, SseTransport>()

  constructor(gateway: Gateway) {
    this.#gateway = gateway
  }

  /** Answers `GET /sse` with a stream, which is the session. */
  async open(response: ServerResponse): Promise<void> {
    if (this.#transports.size >= MAX_SESSIONS) {
      response.writeHead(503, { 'retry-after': '5' }).end(`there are ${MAX_SESSIONS} streams already`)
      return
    }
    const transport = new SseTransport(response)
    const client = sessionServer(this.#gateway)
    this.#transports.set(transport.sessionId, transport)
    await client.server.connect(transport)
    client.server.onclose = () => {
      this.#transports.delete(transport.sessionId)
      this.#gateway.remove(client)
    }
  }

  /** Takes a message of a client; answers with the status that it deserves. */
  receive(sessionId: string | null, body: unknown): 202 | 400 | 404 {
    const transport = this.#transports.get(sessionId ?? '')
    if (!transport) return 404
    try {
      transport.onmessage?.(parseJSONRPCMessage(body))
      return 202
    } catch {
      return 400
    }
  }

  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#transports.values()].map((transport) => transport.close()))
  }
}

class SseTransport implements Transport {
  readonly sessionId = randomUUID()
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: JSONRPCMessage) => void
  readonly #response: ServerResponse
  #keepAlive?: NodeJS.Timeout

  constructor(response: ServerResponse) {
    this.#response = response
  }

  async start(): Promise<void> {
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-cache, no-transform',
      'x-accel-buffering': 'no',
    })
    this.#response.write(`event: endpoint\ndata: /messages?sessionId=${this.sessionId}\n\n`)
    this.#keepAlive = setInterval(() => this.#response.write(': keep-alive\n\n'), KEEP_ALIVE_MS)
    this.#response.once('close', () => {
      clearInterval(this.#keepAlive)
      this.onclose?.()
    })
  }

  async send(message: JSONRPCMessage): Promise<void> {
    this.#response.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`)
    if (this.#response.writableLength > MAX_UNREAD_BYTES) this.#response.destroy()
  }

  async close(): Promise<void> {
    this.#response.end()
  }
}
