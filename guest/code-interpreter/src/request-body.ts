import type { IncomingMessage } from 'node:http'
import { Refusal } from './refusal.ts'

export const BODY_MAX_BYTES = 8 * 1024 * 1024
/** Most bytes of a refused body that are read and dropped: closing while the client still sends may lose the answer. */
const DROPPED_MAX_BYTES = 64 * 1024 * 1024
const ENV_MAX_VARIABLES = 1000

export interface ExecuteRequest {
  code: string
  contextId: string | undefined
  language: string | undefined
  envVars: Record<string, string>
}

export interface CreateContextRequest {
  language: string | undefined
  cwd: string | undefined
}

/** @throws Refusal 413 above 8 MiB, 400 for anything but a JSON object; an empty body is an empty object */
export async function readJsonObject(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes <= BODY_MAX_BYTES) chunks.push(chunk)
    else chunks.length = 0
    if (sizeBytes > DROPPED_MAX_BYTES) break
  }
  if (sizeBytes > BODY_MAX_BYTES) throw new Refusal(413, `The body may have at most ${BODY_MAX_BYTES} bytes`)
  if (sizeBytes === 0) return {}
  let body: unknown
  try {
    body = JSON.parse(Buffer.concat(chunks).toString())
  } catch (error) {
    throw new Refusal(400, `The body is not JSON: ${(error as Error).message}`)
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new Refusal(400, 'The body must be a JSON object')
  }
  return body as Record<string, unknown>
}

/** @throws Refusal 400 naming the field that is wrong */
export function parseExecute(body: Record<string, unknown>): ExecuteRequest {
  const { code } = body
  if (typeof code !== 'string') throw wrong('code', code, 'a string')
  const contextId = optionalString(body, 'context_id')
  const language = optionalString(body, 'language')
  if (contextId !== undefined && language !== undefined) {
    throw new Refusal(400, 'context_id and language exclude each other: the language of a context is fixed')
  }
  return { code, contextId, language, envVars: parseEnvVars(body.env_vars) }
}

/** @throws Refusal 400 naming the field that is wrong */
export const parseCreateContext = (body: Record<string, unknown>): CreateContextRequest => ({
  language: optionalString(body, 'language'),
  cwd: optionalString(body, 'cwd'),
})

/** The Python SDK sends null for unset fields, and an empty name means none. */
function optionalString(body: Record<string, unknown>, field: string): string | undefined {
  const value = body[field]
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw wrong(field, value, 'a string')
  return value
}

function parseEnvVars(value: unknown): Record<string, string> {
  if (value === undefined || value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value))
    throw wrong('env_vars', value, 'an object of strings')
  const entries = Object.entries(value)
  if (entries.length > ENV_MAX_VARIABLES) {
    throw new Refusal(400, `env_vars has ${entries.length} variables; ${ENV_MAX_VARIABLES} are allowed`)
  }
  for (const [name, text] of entries) {
    if (name === '' || /[=\0]/.test(name)) throw wrong('a name in env_vars', name, 'text without = and NUL')
    if (typeof text !== 'string' || text.includes('\0') || !text.isWellFormed()) {
      throw wrong(`env_vars.${name}`, text, 'text without NUL')
    }
  }
  return Object.fromEntries(entries)
}

const wrong = (field: string, value: unknown, right: string): Refusal =>
  new Refusal(400, `${field} is ${JSON.stringify(value)?.slice(0, 100) ?? 'missing'}; it must be ${right}`)
