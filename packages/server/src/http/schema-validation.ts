import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'

/** Wrong types in bodies are errors; query strings are text, so numbers are converted. */
export function schemaCompiler(): FastifySchemaCompiler<object> {
  const options = { useDefaults: true, allErrors: false, strict: false }
  const exact = new Ajv(options)
  const coercing = new Ajv({ ...options, coerceTypes: true })
  for (const ajv of [exact, coercing]) (addFormats as unknown as (ajv: Ajv) => void)(ajv)
  return ({ schema, httpPart }) => (httpPart === 'body' ? exact : coercing).compile(schema as object)
}
