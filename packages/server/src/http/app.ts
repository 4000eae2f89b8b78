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
    /**
     * For the OpenAPI document only (see `Operation` of the protocol): bodies of errors are not validated or filtered by
     * a schema.
     */
    errors?: readonly ErrorName[]
  }
}

/** The application that routes are registered on: TypeBox schemas give handlers the types of requests and answers. */
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
