import formbody from '@fastify/formbody'
import { SandlotError } from '@sandlot/protocol'
import { refreshSession, revokeSession } from '@sandlot/protocol/rest'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { App, Handler } from '../http/app.ts'
import { toSandlotError } from '../http/errors.ts'
import { senderOf } from '../http/sender.ts'
import { TokenBuckets } from '../teams/token-bucket.ts'
import type { SessionService } from './service.ts'

/** Client id that the sign-in page gives to the CLI, which sends it here: a public client without a secret. */
export const CLIENT_ID = 'e2b-cli'
export const TOKEN_PATH = '/oauth/token'
export const REVOKE_PATH = '/oauth/revoke'

const BODY_LIMIT_BYTES = 8 * 1024
const REQUESTS_PER_SECOND = 5
const BURST = 30

export interface SessionRoutesOptions {
  sessions: SessionService
  now: () => number
}

/**
 * Refresh and revocation for the CLI, according to RFC 6749 (section 6) and RFC 7009; errors have the shape of section
 * 5.2.
 */
export async function sessionRoutes(app: App, options: SessionRoutesOptions): Promise<void> {
  await app.register(formbody, { bodyLimit: BODY_LIMIT_BYTES })
  const attempts = new TokenBuckets(options.now)
  app.setErrorHandler(refuseThrown)
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    countAttempt(attempts, request)
  })
  app.post(TOKEN_PATH, { schema: refreshSession }, refresh(options))
  app.post(REVOKE_PATH, { schema: revokeSession }, revoke(options))
}

/** @throws SandlotError rate_limited */
function countAttempt(attempts: TokenBuckets, { ip }: FastifyRequest): void {
  const sender = senderOf(ip)
  const waitSeconds = sender === undefined ? 0 : attempts.take(sender, REQUESTS_PER_SECOND, BURST)
  if (waitSeconds > 0)
    throw new SandlotError('rate_limited', `too many requests: ${REQUESTS_PER_SECOND} a second`, {
      retryAfterSeconds: waitSeconds,
    })
}

const refresh =
  ({ sessions }: SessionRoutesOptions): Handler<typeof refreshSession> =>
  async ({ body }, reply) => {
    if (body.grant_type !== 'refresh_token')
      return refuse(
        reply.code(400),
        'unsupported_grant_type',
        `grant_type is '${body.grant_type.slice(0, 50)}'; it must be refresh_token`,
      )
    if (body.client_id !== CLIENT_ID)
      return refuse(reply.code(400), 'invalid_client', `client_id must be ${CLIENT_ID}`)
    if (body.refresh_token === undefined)
      return refuse(reply.code(400), 'invalid_request', 'refresh_token is missing')
    const grant = await sessions.refresh(body.refresh_token)
    if (!grant)
      return refuse(
        reply.code(400),
        'invalid_grant',
        'the refresh token is not valid here, or has expired: sign in again with `e2b auth login`',
      )
    return reply.code(200).send({
      access_token: grant.accessToken,
      refresh_token: grant.refreshToken,
      token_type: 'Bearer',
      expires_in: grant.expiresInSeconds,
    })
  }

const revoke =
  ({ sessions }: SessionRoutesOptions): Handler<typeof revokeSession> =>
  async ({ body }, reply) => {
    await sessions.revoke(body.token)
    return reply.code(200).send(null)
  }

function refuseThrown(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = toSandlotError(thrown, request)
  if (error.status >= 500) request.log.error({ err: thrown, reqId: request.id }, error.message)
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds))
  const name = error.status < 500 ? 'invalid_request' : 'server_error'
  return refuse(reply.code(error.status), name, error.message)
}

const refuse = (reply: FastifyReply, error: string, description: string): FastifyReply =>
  reply
    .type('application/json; charset=utf-8')
    .send(JSON.stringify({ error, error_description: description }))
