import type { OutgoingHttpHeaders } from 'node:http'
import { SandlotError } from '@sandlot/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Authenticator } from '../auth/authenticate.ts'
import type { App } from '../http/app.ts'
import { limitRate } from '../http/limit-rate.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { McpEndpoint } from './endpoint.ts'
import { checkOrigin } from './origin.ts'
import { sendStream, webRequest } from './web-request.ts'

/** A file that a tool writes, as a JSON string. */
const BODY_LIMIT_BYTES = 8 * 1024 * 1024

export interface McpRoutesOptions {
  authenticator: Authenticator
  limits: TeamLimits
  /** Domain of sandbox host names; may include a port. */
  domain: string
  /** Default: none, and `/mcp` is unknown. */
  mcp?: McpEndpoint
}

/** The endpoint for MCP clients (streamable HTTP). Each request carries an API key, and nothing is kept between two. */
export function mcpRoutes(app: App, options: McpRoutesOptions): void {
  const { authenticator, limits, domain, mcp } = options
  if (!mcp) return
  app.addHook('onRequest', async (request, reply) => {
    checkOrigin(request.headers.origin, domain)
    try {
      request.caller = await authenticator.authenticate(request.headers, request.ip)
      keyOf(request)
    } catch (error) {
      if (error instanceof SandlotError && error.errorName === 'unauthorized')
        reply.header('www-authenticate', 'Bearer realm="Sandlot"')
      throw error
    }
  })
  app.addHook('onRequest', async (request, reply) => limitRate(limits, request, reply))
  const schema = { hide: true }
  app.post('/mcp', { schema, bodyLimit: BODY_LIMIT_BYTES }, answer(mcp))
  app.delete('/mcp', { schema }, answer(mcp))
  app.get('/mcp', { schema }, async (_request, reply) => {
    reply.code(405).header('allow', 'POST, DELETE').type('text/plain')
    return 'This endpoint sends nothing of its own accord: POST messages to it.\n'
  })
}

const answer = (mcp: McpEndpoint) => async (request: FastifyRequest, reply: FastifyReply) => {
  const web = webRequest(request.raw, reply.raw)
  const { team } = request.caller
  const body = request.method === 'POST' ? request.body : undefined
  const response = await mcp.answer({ request: web, body, apiKey: keyOf(request), teamId: team.teamId })
  reply.hijack()
  await sendStream(response, reply.raw, reply.getHeaders() as OutgoingHttpHeaders, web.signal)
}

/** @throws SandlotError unauthorized: tools need a key to act with */
function keyOf({ caller: { credential } }: FastifyRequest): string {
  if (credential.kind === 'key') return credential.key
  throw new SandlotError(
    'unauthorized',
    "MCP needs an API key, not an access token: send 'Authorization: Bearer e2b_…' or 'X-API-Key: e2b_…'",
  )
}
