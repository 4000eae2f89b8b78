import type { TSchema } from 'typebox'
import type { ErrorName } from '../errors.ts'

/**
 * One operation of the REST API: schemas that validate requests and serialise responses, and texts for the OpenAPI
 * document. Schemas with a `title` become `components.schemas` of that name.
 */
export interface Operation {
  operationId: string
  tags: readonly [Tag]
  /** Imperative, without a full stop. */
  summary: string
  description?: string
  deprecated?: true
  /** `[]`: needs no credential. Default: an API key or an access token. */
  security?: []
  params?: TSchema
  querystring?: TSchema
  headers?: TSchema
  body?: TSchema
  consumes?: string[]
  produces?: string[]
  /** Schemas of responses by status; those of errors come from `errors`. */
  response: Partial<Record<number | '4xx' | '5xx', TSchema>>
  /**
   * Errors of this operation beside `ERRORS_OF_ALL`. Absent: the errors of this operation have another shape, which
   * `response` describes.
   */
  errors?: readonly ErrorName[]
}

/** Groups of operations, in the order in which the document shows them. */
export const TAGS = [
  { name: 'sandboxes', description: 'Create, find, extend and kill sandboxes' },
  { name: 'persistence', description: 'Pause, resume, snapshot, fork and roll back sandboxes' },
  { name: 'metrics', description: 'Use of CPU, memory and disk' },
  { name: 'logs', description: 'What happened to a sandbox, as log lines' },
  { name: 'events', description: 'What happened to sandboxes, as structured records' },
  { name: 'templates', description: 'Build and manage the templates that sandboxes start from' },
  { name: 'volumes', description: 'Storage that outlives sandboxes, and its files' },
  { name: 'secrets', description: 'Values for headers of requests that leave sandboxes' },
  { name: 'identity', description: 'How services verify the identity tokens of sandboxes' },
  { name: 'usage', description: 'Storage that a team uses' },
  { name: 'teams', description: 'The team of the caller' },
  { name: 'api-keys', description: 'API keys of the team' },
  { name: 'access-tokens', description: 'Access tokens for machines that use the CLI without a browser' },
  { name: 'oauth', description: 'Sessions of the CLI' },
  { name: 'catalog', description: 'The templates that come with this server' },
  { name: 'npm', description: 'The SDK and CLI that match this server' },
] as const

type Tag = (typeof TAGS)[number]['name']

/** Errors that any operation with a credential can return. */
export const ERRORS_OF_ALL: readonly ErrorName[] = [
  'invalid_request',
  'unauthorized',
  'forbidden',
  'rate_limited',
  'internal_server_error',
]
