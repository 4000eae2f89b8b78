import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'

/** Compiles schemas: wrong types in bodies are errors, while numbers in query strings are converted from text. */
export function schemaCompiler(): FastifySchemaCompiler<object> {
  const options = { useDefaults: true, allErrors: false, strict: false }
  const exact = new Ajv(options)
  const coercing = new Ajv({ ...options, coerceTypes: true })
  for (const ajv of [exact, coercing]) (addFormats as unknown as (ajv: Ajv) => void)(ajv)
  return ({ schema, httpPart }) => (httpPart === 'body' ? exact : coercing).compile(schema as object)
}
