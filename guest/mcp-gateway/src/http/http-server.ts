import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createMcpHandler, isLegacyRequest } from '@modelcontextprotocol/server'
import type { Gateway } from '../gateway/gateway.ts'
import { requestServer } from '../gateway/handlers.ts'
import { Questions } from '../gateway/questions.ts'
import { reasonOf } from '../refusal.ts'
import type { AccessToken } from './access-token.ts'
import { Sessions } from './sessions.ts'
import { SseSessions } from './sse-sessions.ts'
import { BodyTooLarge, readBody, sendResponse, webRequest } from './web-request.ts'

const MAX_BODY_BYTES = 8 * 1024 * 1024
const MAX_CONNECTIONS = 1024
const MAX_SUBSCRIPTION_STREAMS = 128

/** Everything that listens: `/mcp`, `/sse` with `/messages`, and `/health`. */
export class HttpServer {
  readonly #gateway: Gateway
  readonly #token: AccessToken
  readonly #server: Server
  readonly #questions = new Questions()
  readonly #stateless
  readonly sessions: Sessions
  readonly #sse: SseSessions

  constructor(gateway: Gateway, token: AccessToken) {
    this.#gateway = gateway
    this.#token = token
    this.sessions = new Sessions(gateway)
    this.#sse = new SseSessions(gateway)
    this.#stateless = createMcpHandler(() => requestServer(gateway, this.#questions), {
      legacy: 'reject',
      maxSubscriptions: MAX_SUBSCRIPTION_STREAMS,
      onerror: (error) => gateway.log.write('gateway', reasonOf(error)),
    })
    gateway.listeners = {
      listsChanged: () => {
        this.#stateless.notify.toolsChanged()
        this.#stateless.notify.promptsChanged()
        this.#stateless.notify.resourcesChanged()
      },
      resourceUpdated: (uri) => this.#stateless.notify.resourceUpdated(uri),
    }
    this.#server = createServer((request, response) => {
      this.#handle(request, response).catch((error) => this.#fail(error, response))
    })
    this.#server.maxConnections = MAX_CONNECTIONS
    // streams stay open for hours; Node's limit is for the request's own arrival
    this.#server.requestTimeout = 60_000
    this.#server.timeout = 0
  }

  listen(port: number, host?: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => resolve((this.#server.address() as { port: number }).port))
    })
  }

  /** Ends all streams and sessions, for example as their token is not valid any more. */
  async disconnectAll(): Promise<void> {
    await Promise.allSettled([this.sessions.closeAll(), this.#sse.closeAll()])
    this.#server.closeAllConnections()
  }

  async close(): Promise<void> {
    this.#questions.close()
    await this.#stateless.close()
    await this.disconnectAll()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost')
    const isAllowed = this.#token.isBearer(request.headers.authorization)
    if (pathname === '/health') return this.#health(response, isAllowed)
    if (!isAllowed) return unauthorized(response)
    if (pathname === '/mcp') return this.#mcp(request, response)
    if (pathname === '/sse' && request.method === 'GET') return this.#sse.open(response)
    if (pathname === '/messages' && request.method === 'POST') {
      const body = parse(await readBody(request, MAX_BODY_BYTES))
      return void response.writeHead(this.#sse.receive(searchParams.get('sessionId'), body)).end()
    }
    response.writeHead(404).end('Not Found: the gateway has /mcp, /sse and /health\n')
  }

  async #mcp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const bytes = request.method === 'POST' ? await readBody(request, MAX_BODY_BYTES) : undefined
    const body = bytes === undefined ? undefined : parse(bytes)
    const web = webRequest(request, response)
    const hasSession = request.headers['mcp-session-id'] !== undefined
    const isLegacy =
      hasSession || request.method !== 'POST' || body === undefined || (await isLegacyRequest(web, body))
    if (isLegacy) return sendResponse(await this.sessions.handle(web, body), response)
    const release = await this.#watch(body)
    try {
      await sendResponse(await this.#stateless.fetch(web, { parsedBody: body }), response)
    } finally {
      release()
    }
  }

  /** Subscribes to the resources that a `subscriptions/listen` names, for as long as its stream lasts. */
  async #watch(body: unknown): Promise<() => void> {
    const { method, params } = body as {
      method?: string
      params?: { notifications?: { resourceSubscriptions?: unknown } }
    }
    const uris = method === 'subscriptions/listen' ? params?.notifications?.resourceSubscriptions : undefined
    if (!Array.isArray(uris)) return () => {}
    const watched = uris.slice(0, 1000).map(String)
    await Promise.all(watched.map((uri) => this.#gateway.subscriptions.add(uri)))
    return () => {
      for (const uri of watched) this.#gateway.subscriptions.remove(uri)
    }
  }

  /** Without a token it says only whether the gateway is up: reasons of failures may name what is secret. */
  #health(response: ServerResponse, isAllowed: boolean): void {
    const { servers } = this.#gateway
    const status = servers.some(({ state }) => state === 'starting') ? 'starting' : 'ok'
    const details = {
      sessions: this.sessions.size,
      servers: Object.fromEntries(
        servers.map(({ name, state, reason, offers, pid }) => [
          name,
          { state, tools: offers.tools.length, ...(reason !== '' && { reason }), ...(pid && { pid }) },
        ]),
      ),
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ status, ...(isAllowed && details) }))
  }

  #fail(error: unknown, response: ServerResponse): void {
    if (response.headersSent) return void response.destroy()
    if (error instanceof BodyTooLarge) {
      // the rest of the body is not read
      response.writeHead(413, { connection: 'close' })
      return void response.end(`a message may have ${MAX_BODY_BYTES} bytes\n`)
    }
    if (error instanceof SyntaxError) {
      const answer = { jsonrpc: '2.0', id: null, error: { code: -32700, message: 'the body is not JSON' } }
      response.writeHead(400, { 'content-type': 'application/json' })
      return void response.end(JSON.stringify(answer))
    }
    this.#gateway.log.write('gateway', reasonOf(error))
    response.writeHead(500).end('Internal Server Error\n')
  }
}

const parse = (bytes: Buffer): unknown => JSON.parse(bytes.toString())

function unauthorized(response: ServerResponse): void {
  response.writeHead(401, { 'www-authenticate': 'Bearer realm="MCP Gateway"', connection: 'close' })
  response.end('Unauthorized\n')
}
