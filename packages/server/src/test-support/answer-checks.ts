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
  #document?: ClosedDocument

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
    const validate = this.#closedDocument().validatorOf(answer.pointer)
    if (validate(body)) return []
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${name}: ${instancePath || '/'} ${message} ${JSON.stringify(params)}`,
    )
  }

  /** Schema of the document for this status; `hidden`: the document does not contain the route. */
  #answerOf(request: FastifyRequest, reply: FastifyReply) {
    const { paths, components } = this.#closedDocument().content
    const url = urlOf(request)
    const method = request.method === 'HEAD' ? 'get' : request.method.toLowerCase()
    const responses = paths[url]?.[method]?.responses
    const status = String(reply.statusCode)
    if (!responses)
      return reply.statusCode < 400
        ? 'hidden'
        : { content: { 'application/json': {} }, pointer: '#/components/schemas/Error' }
    const key = [status, `${status[0]}XX`].find((known) => known in responses)
    if (key === undefined) return undefined
    const found = responses[key]!
    const named = found.$ref && components.responses[found.$ref.split('/').at(-1)!]
    const pointer = found.$ref ?? `#/paths/${escaped(url)}/${method}/responses/${key}`
    return {
      ...(named || found),
      pointer: `${pointer}/content/${escaped('application/json')}/schema`,
    }
  }

  #closedDocument(): ClosedDocument {
    this.#document ??= ClosedDocument.of(this.#readDocument())
    return this.#document
  }
}

/** A document that forbids unnamed fields, with its validators. Servers with the same document share these. */
class ClosedDocument {
  static readonly #known = new Map<string, ClosedDocument>()
  readonly content: OpenApiDocument
  readonly #ajv = new Ajv({ strict: false, allErrors: true })
  readonly #validators = new Map<string, ValidateFunction>()

  static of(document: OpenApiDocument): ClosedDocument {
    const text = JSON.stringify(document)
    const known = ClosedDocument.#known.get(text) ?? new ClosedDocument(document)
    ClosedDocument.#known.set(text, known)
    return known
  }

  private constructor(document: OpenApiDocument) {
    this.content = closed(document)
    ;(addFormats as unknown as (ajv: Ajv) => void)(this.#ajv)
    this.#ajv.addSchema(this.content as object, 'openapi')
  }

  validatorOf(pointer: string): ValidateFunction {
    const validator = this.#validators.get(pointer) ?? this.#ajv.compile({ $ref: `openapi${pointer}` })
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
