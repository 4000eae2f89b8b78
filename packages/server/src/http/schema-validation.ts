import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifySchemaCompiler } from 'fastify'

const OPTIONS = { useDefaults: true, allErrors: false, strict: false }
const exact = new Ajv(OPTIONS)
const coercing = new Ajv({ ...OPTIONS, coerceTypes: true })
for (const ajv of [exact, coercing]) (addFormats as unknown as (ajv: Ajv) => void)(ajv)

/**
 * Compiles schemas, each once in a process: wrong types in bodies are errors, while numbers in query strings are converted
 * from text.
 */
export const compileSchema: FastifySchemaCompiler<object> = ({ schema, httpPart }) =>
  (httpPart === 'body' ? exact : coercing).compile(schema as object)
