import { STATUS_CODES } from 'node:http'
import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { ERROR_NAMES, errorTable } from '@sandlot/protocol'
import { ApiError, ERRORS_OF_ALL, TAGS } from '@sandlot/protocol/rest'
import type { FastifySchema } from 'fastify'

type Json = Record<string, unknown>

const ANSWERS: Record<string, string> = {
  200: 'Done',
  201: 'Created',
  202: 'Accepted',
  204: 'Done',
  206: 'A part',
  304: 'Not modified',
  '4XX': 'Another error of the request',
  '5XX': 'Another error of the server',
}

/** How `/openapi.json` is generated from the schemas of the routes. */
export const documentOptions: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: '3.1.0',
    info: { title: 'Sandlot', version: '0.1.0', description: "Sandboxes for AI agents; speaks E2B's API." },
    tags: TAGS.map((tag) => ({ ...tag })),
    components: {
      securitySchemes: {
        apiKey: {
          type: 'apiKey',
          in: 'header',
          name: 'X-API-KEY',
          description: 'Key of a team: e2b_ and 40 hexadecimal characters',
        },
        accessToken: {
          type: 'http',
          scheme: 'bearer',
          description: 'Token of `e2b auth login` or of POST /access-tokens; X-Team-ID may name its team',
        },
      },
    },
    security: [{ apiKey: [] }, { accessToken: [] }],
  },
  convertConstToEnum: false,
  transform: ({ schema, url }) => ({ schema: withErrors(schema), url }),
  transformObject: (document) =>
    finish(('openapiObject' in document ? document.openapiObject : {}) as OpenApiDocument) as never,
}

/** Adds a response for each status among the errors that the operation lists, and one for all other errors. */
function withErrors(schema: FastifySchema | undefined): FastifySchema {
  if (!schema?.errors) return schema ?? {}
  const names = [...(schema.security ? [] : ERRORS_OF_ALL), ...schema.errors]
  const statuses = new Set(names.map((name) => errorTable[name].status).sort((a, b) => a - b))
  const answers = [...statuses, '4xx', '5xx'].map((status) => [status, { content: ERROR_CONTENT }])
  return {
    ...schema,
    response: { ...(schema.response as Json), ...Object.fromEntries(answers) },
    'x-error-codes': names,
  } as FastifySchema
}

const ERROR_CONTENT = { 'application/json': { schema: ApiError } }

/** Responses of errors by status; operations refer to them. */
const errorResponses = (): Record<string, Json> => {
  const byStatus = Map.groupBy(ERROR_NAMES, (name) => errorTable[name].status)
  const described = [...byStatus].map(([status, names]): [string, string] => [
    String(status),
    names.map((name) => `\`${name}\`: ${errorTable[name].remedy}`).join('\n\n'),
  ])
  const all = [...described, ...['4XX', '5XX'].map((status) => [status, ANSWERS[status]!])]
  return Object.fromEntries(
    all.map(([status, description]) => [status, { description, content: ERROR_CONTENT }]),
  )
}

interface OpenApiOperation {
  operationId?: string
  summary?: string
  tags?: string[]
  parameters?: Json[]
  requestBody?: { required?: boolean; content: Record<string, { schema: Json }> }
  responses: Record<string, OpenApiResponse>
}

interface OpenApiResponse {
  description?: string
  content?: Record<string, { schema?: Json }>
  $ref?: string
}

export interface OpenApiDocument {
  components: { schemas: Record<string, Json>; responses: Record<string, OpenApiResponse> }
  paths: Record<string, Record<string, OpenApiOperation>>
}

function finish(document: OpenApiDocument): OpenApiDocument {
  for (const operations of Object.values(document.paths))
    for (const operation of Object.values(operations)) {
      for (const parameter of operation.parameters ?? []) showAsList(parameter)
      for (const [status, answer] of Object.entries(operation.responses)) {
        if (answer.description === 'Default Response')
          answer.description = ANSWERS[status] ?? STATUS_CODES[status]
        if (answer.content?.['application/json']?.schema?.title === 'Error')
          operation.responses[status] = { $ref: `#/components/responses/${status}` }
      }
      const { requestBody } = operation
      if (requestBody)
        requestBody.required = Object.values(requestBody.content).some(({ schema }) => 'required' in schema)
    }
  const schemas: Record<string, Json> = {}
  const paths = hoistNamed(document.paths, schemas) as OpenApiDocument['paths']
  const responses = hoistNamed(errorResponses(), schemas)
  const sorted = Object.entries(schemas).sort(([a], [b]) => (a < b ? -1 : 1))
  const components = { ...document.components, schemas: Object.fromEntries(sorted), responses }
  return { ...document, components, paths } as OpenApiDocument
}

/** Describes a comma-separated parameter as an array (`CommaSeparated` of the protocol). */
function showAsList(parameter: Json): void {
  const { 'x-comma-separated': items, ...schema } = parameter.schema as Json
  if (items === undefined) return
  delete schema.maxLength
  Object.assign(parameter, { schema: { ...schema, type: 'array', items }, style: 'form', explode: false })
}

/** Moves schemas with a title to `components.schemas`, and leaves references to them. */
function hoistNamed(value: unknown, schemas: Record<string, Json>): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((item) => hoistNamed(item, schemas))
  const copy = Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, hoistNamed(inner, schemas)]),
  )
  if (typeof copy.title !== 'string' || !('type' in copy || 'anyOf' in copy)) return copy
  const { title, ...schema } = copy
  const known = schemas[title]
  if (known && JSON.stringify(known) !== JSON.stringify(schema))
    throw new Error(`two schemas are called '${title}' and differ`)
  schemas[title] = schema
  return { $ref: `#/components/schemas/${title}` }
}
