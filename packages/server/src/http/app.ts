import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { ErrorName } from '@sandlot/protocol'
import type {
  ContextConfigDefault,
  FastifyBaseLogger,
  FastifyInstance,
  FastifySchema,
  RawServerDefault,
  RouteGenericInterface,
  RouteHandlerMethod,
} from 'fastify'
import type { Caller } from '../auth/authenticate.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before every route that needs a key or a token. */
    caller: Caller
  }
  interface FastifySchema {
    /** For the OpenAPI document: see `Operation` of the protocol. Errors are sent as they are, past any serialiser. */
    errors?: readonly ErrorName[]
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

/** Handles an operation: `Handler<typeof createSandbox>`. */
export type Handler<Schema extends FastifySchema> = RouteHandlerMethod<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  RouteGenericInterface,
  ContextConfigDefault,
  Schema,
  TypeBoxTypeProvider,
  FastifyBaseLogger
>
