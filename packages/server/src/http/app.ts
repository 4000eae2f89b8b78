import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { Caller } from '../auth/authenticate.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before every route that needs a key or a token. */
    caller: Caller
  }
}

/** What routes are registered on: TypeBox schemas give handlers the types of their requests and answers. */
export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>
