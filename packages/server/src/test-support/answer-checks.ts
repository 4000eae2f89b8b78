import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Ajv, type ValidateFunction } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { OpenApiDocument } from '../http/openapi.ts'

/**
 * Checks every JSON answer of the servers that this process starts from now on against their own `/openapi.json`: the
 * status, the body, and that the document has every field. Hooks are added when Fastify announces a new instance, so the
 * server needs no code for these checks.
 *
 * @param report called with the route, the status and the violation
 * @returns a function that ends the checks for servers started later
 */
export function checkAnswers(report: (violation: string) => void): () => void {
  const onServer = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance }
    const checks = new AnswerChecks(() => fastify.swagger() as unknown as OpenApiDocument)
    // before serialisation, which drops fields that the schema does not name
    fastify.addHook('preSerialization', async (request, reply, payload) => {
      checks.checkJson(request, reply, JSON.parse(JSON.stringify(payload))).forEach(report)
      return payload
    })
    fastify.addHook('onSend', async (request, reply, payload) => {
      checks.checkSent(request, reply, payload).forEach(report)
      return payload
    })
  }
  subscribe('fastify.initialization', onServer)
  return () => void unsubscribe('fastify.initialization', onServer)
}

class AnswerChecks {
  readonly #readDocument: () => OpenApiDocument
  readonly #validators = new Map<string, ValidateFunction>()
  #document?: OpenApiDocument
  #ajv?: Ajv

  constructor(readDocument: () => OpenApiDocument) {
    this.#readDocument = readDocument
  }

  /** @returns what is wrong */
  checkSent(request: FastifyRequest, reply: FastifyReply, payload: unknown): string[] {
    if (request.method === 'HEAD' || request.method === 'OPTIONS') return []
    if (typeof payload === 'string' && String(reply.getHeader('content-type')).startsWith('application/json'))
      return this.checkJson(request, reply, JSON.parse(payload))
    if (payload !== undefined && payload !== null && payload !== '') return []
    const answer = this.#answerOf(request, reply)
    return answer !== 'hidden' && answer?.content ? [`${nameOf(request, reply)}: the body is missing`] : []
  }

  /** @returns what is wrong */
  checkJson(request: FastifyRequest, reply: FastifyReply, body: unknown): string[] {
    const name = nameOf(request, reply)
    const answer = this.#answerOf(request, reply)
    if (answer === 'hidden') return []
    if (answer === undefined) return [`${name}: the document does not have this status`]
    if (!answer.content?.['application/json'])
      return body === null ? [] : [`${name}: the document has no body for this status`]
    const validate = this.#validatorOf(answer.pointer)
    if (validate(body)) return []
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${name}: ${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
    )
  }

  /** Schema of the document for this status; `hidden`: the document does not contain the route. */
  #answerOf(request: FastifyRequest, reply: FastifyReply) {
    this.#document ??= closed(this.#readDocument())
    const url = urlOf(request)
    const method = request.method === 'HEAD' ? 'get' : request.method.toLowerCase()
    const responses = this.#document.paths[url]?.[method]?.responses
    const status = String(reply.statusCode)
    if (!responses)
      return reply.statusCode < 400
        ? 'hidden'
        : { content: { 'application/json': {} }, pointer: '#/components/schemas/Error' }
    const key = [status, `${status[0]}XX`].find((known) => known in responses)
    if (key === undefined) return undefined
    const found = responses[key]!
    const named = found.$ref && this.#document.components.responses[found.$ref.split('/').at(-1)!]
    const pointer = found.$ref ?? `#/paths/${escaped(url)}/${method}/responses/${key}`
    return {
      ...(named || found),
      pointer: `${pointer}/content/${escaped('application/json')}/schema`,
    }
  }

  #validatorOf(pointer: string): ValidateFunction {
    const known = this.#validators.get(pointer)
    if (known) return known
    if (!this.#ajv) {
      this.#ajv = new Ajv({ strict: false, allErrors: true })
      ;(addFormats as unknown as (ajv: Ajv) => void)(this.#ajv)
      this.#ajv.addSchema(this.#document as object, 'openapi')
    }
    const validator = this.#ajv.compile({ $ref: `openapi${pointer}` })
    this.#validators.set(pointer, validator)
    return validator
  }
}

const urlOf = ({ routeOptions }: FastifyRequest): string =>
  (routeOptions.url ?? 'unknown').replace(/:(\w+)/g, '{$1}')
const nameOf = (request: FastifyRequest, { statusCode }: FastifyReply): string =>
  `${request.method} ${urlOf(request)} ${statusCode}`
/** One step of a JSON pointer in a fragment of a URI. */
const escaped = (step: string): string => encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'))

/** Forbids unnamed fields in all objects of the document, except those that allow such fields explicitly. */
function closed<T>(value: T): T {
  if (Array.isArray(value)) return value.map(closed) as T
  if (typeof value !== 'object' || value === null) return value
  const copy = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, closed(inner)]))
  const isOpen = copy.type === 'object' && 'properties' in copy && !('additionalProperties' in copy)
  return (isOpen ? { ...copy, additionalProperties: false } : copy) as T
}
