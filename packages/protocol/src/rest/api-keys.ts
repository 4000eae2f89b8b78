import Type from 'typebox'
import { NullableTime, Time } from './fields.ts'
import type { Operation } from './operation.ts'

const ApiKeyId = Type.Object({ apiKeyID: Type.String({ maxLength: 64 }) })

const IdentifierMaskingDetails = Type.Object(
  {
    prefix: Type.String({ description: 'What every key begins with' }),
    valueLength: Type.Integer({ description: 'Number of characters after the prefix' }),
    maskedValuePrefix: Type.String({ description: 'First characters after the prefix' }),
    maskedValueSuffix: Type.String({ description: 'Last characters of the key' }),
  },
  { title: 'IdentifierMaskingDetails' },
)
const teamApiKeyProperties = {
  id: Type.String(),
  name: Type.String(),
  mask: IdentifierMaskingDetails,
  createdAt: Time(),
  lastUsed: Type.Optional(NullableTime('null: never')),
}
const TeamAPIKey = Type.Object(teamApiKeyProperties, { title: 'TeamAPIKey' })
const CreatedTeamAPIKey = Type.Object(
  { ...teamApiKeyProperties, key: Type.String({ description: 'The secret; only this response shows it' }) },
  { title: 'CreatedTeamAPIKey' },
)
const name = { name: Type.String({ minLength: 1, maxLength: 128 }) }
const NewTeamAPIKey = Type.Object(name, { title: 'NewTeamAPIKey' })
const UpdateTeamAPIKey = Type.Object(name, { title: 'UpdateTeamAPIKey' })

export const listApiKeys = {
  operationId: 'listApiKeys',
  tags: ['api-keys'],
  summary: 'List the API keys of the team',
  response: { 200: Type.Array(TeamAPIKey) },
  errors: [],
} satisfies Operation

export const createApiKey = {
  operationId: 'createApiKey',
  tags: ['api-keys'],
  summary: 'Create an API key',
  body: NewTeamAPIKey,
  response: { 201: CreatedTeamAPIKey },
  errors: ['quota_exceeded'],
} satisfies Operation

export const renameApiKey = {
  operationId: 'renameApiKey',
  tags: ['api-keys'],
  summary: 'Rename an API key',
  params: ApiKeyId,
  body: UpdateTeamAPIKey,
  response: { 200: Type.Null() },
  errors: ['not_found'],
} satisfies Operation

export const deleteApiKey = {
  operationId: 'deleteApiKey',
  tags: ['api-keys'],
  summary: 'Delete an API key; it stops working at once',
  params: ApiKeyId,
  response: { 204: Type.Null() },
  errors: ['not_found'],
} satisfies Operation
