import formbody from '@fastify/formbody'
import { SandlotError } from '@sandlot/protocol'
import type { FastifyReply } from 'fastify'
import Type from 'typebox'
import type { App } from '../http/app.ts'
import { toSandlotError } from '../http/errors.ts'
import { senderOf } from '../http/sender.ts'
import { TokenBuckets } from '../teams/token-bucket.ts'
import type { SessionService } from './service.ts'

/** What the page tells the CLI, and the CLI says again here: a public client without a secret. */
export const CLIENT_ID = 'e2b-cli'
export const TOKEN_PATH = '/oauth/token'
export const REVOKE_PATH = '/oauth/revoke'

const BODY_LIMIT_BYTES = 8 * 1024
const REQUESTS_PER_SECOND = 5
const BURST = 30

const tags = ['oauth']
const OAuthError = Type.Object({ error: Type.String(), error_description: Type.String() })
const Text = Type.String({ maxLength: 4096 })

export interface SessionRoutesOptions {
  sessions: SessionService
  now: () => number
}

/** Refresh and revocation for the CLI, as RFC 6749 (section 6) and RFC 7009 say; errors have the shape of section 5.2. */
export async function sessionRoutes(app: App, { sessions, now }: SessionRoutesOptions): Promise<void> {
  await app.register(formbody, { bodyLimit: BODY_LIMIT_BYTES })
  const attempts = new TokenBuckets(now)
  app.setErrorHandler((thrown, request, reply) => {
    const error = toSandlotError(thrown, request)
    if (error.status >= 500) request.log.error({ err: thrown, reqId: request.id }, error.message)
    if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds))
    const name = error.status < 500 ? 'invalid_request' : 'server_error'
    return refuse(reply.code(error.status), name, error.message)
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    const sender = senderOf(request.ip)
    const waitSeconds = sender === undefined ? 0 : attempts.take(sender, REQUESTS_PER_SECOND, BURST)
    if (waitSeconds > 0)
      throw new SandlotError('rate_limited', `too many requests: ${REQUESTS_PER_SECOND} a second`, {
        retryAfterSeconds: waitSeconds,
      })
  })
  app.post(
    TOKEN_PATH,
    {
      schema: {
        tags,
        summary: 'Exchange a refresh token (form: grant_type=refresh_token, refresh_token, client_id)',
        security: [],
        consumes: ['application/x-www-form-urlencoded'],
        body: Type.Object({ grant_type: Text, refresh_token: Type.Optional(Text), client_id: Text }),
        response: {
          200: Type.Object({
            access_token: Type.String(),
            refresh_token: Type.String(),
            token_type: Type.Literal('Bearer'),
            expires_in: Type.Integer({ description: 'Seconds' }),
          }),
          '4xx': OAuthError,
        },
      },
    },
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
      return reply.send({
        access_token: grant.accessToken,
        refresh_token: grant.refreshToken,
        token_type: 'Bearer',
        expires_in: grant.expiresInSeconds,
      })
    },
  )
  app.post(
    REVOKE_PATH,
    {
      schema: {
        tags,
        summary: 'End the session of a refresh or access token (form: token); unknown ones are no error',
        security: [],
        consumes: ['application/x-www-form-urlencoded'],
        body: Type.Object({
          token: Text,
          token_type_hint: Type.Optional(Text),
          client_id: Type.Optional(Text),
        }),
        response: { 200: Type.Null(), '4xx': OAuthError },
      },
    },
    async ({ body }, reply) => {
      await sessions.revoke(body.token)
      return reply.code(200).send(null)
    },
  )
}

const refuse = (reply: FastifyReply, error: string, description: string) =>
  reply
    .type('application/json; charset=utf-8')
    .send(JSON.stringify({ error, error_description: description }))
