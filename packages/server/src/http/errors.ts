import { SandlotError } from '@sandlot/protocol'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { storeError } from '../store/open-store.ts'
import { withSandboxName } from './sandbox-names.ts'

/** Error codes of Node when the client has disconnected: no answer can reach it. */
const BROKEN_OFF = new Set([
  'ECONNRESET',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ERR_HTTP2_STREAM_ERROR',
  'ABORT_ERR',
])
const MAX_DROPPED_BYTES = 64 * 1024 * 1024

/** Sends every error as `{code, message, error_code}`; an unexpected error with a request id and no detail. */
export function sendError(thrown: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const error = toSandlotError(thrown, request)
  if (error.status === 500) request.log.error({ err: thrown, reqId: request.id }, error.message)
  // an error of a request whose client has disconnected is not worth a warning
  else if (error.status > 501 && error.status !== 503 && !reply.raw.destroyed)
    request.log.warn({ err: thrown, reqId: request.id }, error.message)
  // reads and drops the rest of the body, because a client that is still sending would see a broken pipe instead of the
  // answer
  if (error.status === 413 && Number(request.headers['content-length']) <= MAX_DROPPED_BYTES)
    reply.removeHeader('connection')
  reply.headers(errorHeaders(error))
  const body = { ...error.toBody(), message: withSandboxName(error.message, request) }
  reply.code(error.status).type('application/json; charset=utf-8').send(JSON.stringify(body))
}

/** Sets the headers that tell the client whether and when to retry. */
export function errorHeaders({ retryAfterSeconds, shouldRetry }: SandlotError): Record<string, string> {
  return {
    ...(retryAfterSeconds !== undefined && { 'retry-after': String(Math.ceil(retryAfterSeconds)) }),
    ...(shouldRetry !== undefined && { 'should-retry': String(shouldRetry) }),
  }
}

export function toSandlotError(thrown: unknown, request: FastifyRequest): SandlotError {
  const error = storeError(thrown)
  if (error instanceof SandlotError) return error
  if (request.raw.destroyed && (error as NodeJS.ErrnoException).code === 'ECONNRESET')
    return new SandlotError('invalid_request', 'the connection broke before the request was complete')
  const { validation, validationContext, statusCode, message, code } = error as FastifyError
  if (validation)
    return new SandlotError(
      'invalid_request',
      validationMessage(validation[0]!, validationContext ?? 'request', request),
    )
  if (request.raw.aborted && BROKEN_OFF.has(code))
    return new SandlotError(
      'invalid_request',
      'the connection broke before the body of the request was complete',
    )
  if (statusCode === 413)
    return new SandlotError(
      'payload_too_large',
      `the request body is larger than ${shownBytes(request.routeOptions.bodyLimit)}`,
    )
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new SandlotError(
      'invalid_request',
      `content type '${request.headers['content-type']}' is not understood: send application/json`,
    )
  if (statusCode && statusCode >= 400 && statusCode < 500)
    return new SandlotError('invalid_request', message.slice(0, 300))
  return new SandlotError(
    'internal_server_error',
    `something went wrong here (request ${request.id}); the server's log says more`,
  )
}

const shownBytes = (bytes: number): string =>
  bytes % 2 ** 20 === 0 ? `${bytes / 2 ** 20} MiB` : `${bytes / 1024} KiB`

type ValidationError = NonNullable<FastifyError['validation']>[number]

/** Builds a message that names the field, the value and what is allowed. */
function validationMessage(error: ValidationError, where: string, request: FastifyRequest): string {
  const path = error.instancePath.split('/').slice(1)
  const source = { body: request.body, querystring: request.query, params: request.params }[where as 'body']
  let value: unknown = source
  for (const part of path) value = (value as Record<string, unknown> | undefined)?.[part]
  const missing = (error.params as { requiredProperties?: string[]; missingProperty?: string }) ?? {}
  const absent = missing.missingProperty ?? missing.requiredProperties?.[0]
  if (error.keyword === 'required' && absent)
    return `${[...path, absent].join('.')} is missing in the ${where}`
  const name = path.join('.') || `the ${where}`
  const schema = (request.routeOptions.schema as Record<string, ObjectSchema> | undefined)?.[where]
  const size = sizeOf(error.keyword, value)
  if (size !== undefined) return `${name} ${error.message}, but it has ${size}`
  const text = holdsSecret(schema, path) ? `${kindOf(value)} (not shown)` : shown(value)
  return `${name} ${error.message}, but it is ${text}`
}

/** The size that a limit is about; undefined for other errors. A list or text beyond a limit would not be readable. */
function sizeOf(keyword: string, value: unknown): number | undefined {
  if (keyword === 'maxItems' && Array.isArray(value)) return value.length
  if (keyword === 'maxLength' && typeof value === 'string') return [...value].length
  return undefined
}

const kindOf = (value: unknown): string => (Array.isArray(value) ? 'array' : typeof value)

interface ObjectSchema {
  writeOnly?: boolean
  format?: string
  properties?: Record<string, ObjectSchema>
  additionalProperties?: ObjectSchema | boolean
  items?: ObjectSchema
  anyOf?: ObjectSchema[]
}

/** Whether the value at this path is write-only or a password, or contains such a value. */
function holdsSecret(schema: ObjectSchema | undefined, path: string[]): boolean {
  if (!schema) return false
  if (schema.writeOnly || schema.format === 'password') return true
  if (schema.anyOf?.some((option) => holdsSecret(option, path))) return true
  const { properties = {}, items, additionalProperties } = schema
  const others = typeof additionalProperties === 'object' ? additionalProperties : items
  const [first, ...rest] = path
  if (first !== undefined) return holdsSecret(properties[first] ?? others, rest)
  return [...Object.values(properties), others].some((inner) => holdsSecret(inner, []))
}

/** Deeply nested values would overflow the stack of JSON.stringify. */
function shown(value: unknown): string {
  try {
    return JSON.stringify(value)?.slice(0, 100) ?? 'nothing'
  } catch {
    return `nested too deeply (${typeof value})`
  }
}
