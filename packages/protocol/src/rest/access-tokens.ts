import Type from 'typebox'
import { Time } from './fields.ts'
import type { Operation } from './operation.ts'

const accessTokenProperties = {
  id: Type.String(),
  name: Type.String(),
  createdAt: Time(),
  expiresAt: Time(),
}
const AccessToken = Type.Object(accessTokenProperties, { title: 'AccessToken' })
const CreatedAccessToken = Type.Object(
  {
    ...accessTokenProperties,
    token: Type.String({ description: 'The secret; only this response shows it' }),
  },
  { title: 'CreatedAccessToken' },
)
const NewAccessToken = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 128 }),
    expiresInDays: Type.Optional(Type.Integer({ minimum: 1, maximum: 366, default: 90 })),
  },
  { title: 'NewAccessToken' },
)

export const listAccessTokens = {
  operationId: 'listAccessTokens',
  tags: ['access-tokens'],
  summary: 'List the access tokens of the team',
  response: { 200: Type.Array(AccessToken) },
  errors: [],
} satisfies Operation

export const createAccessToken = {
  operationId: 'createAccessToken',
  tags: ['access-tokens'],
  summary: 'Create an access token for a machine',
  body: NewAccessToken,
  response: { 201: CreatedAccessToken },
  errors: ['quota_exceeded'],
} satisfies Operation

export const deleteAccessToken = {
  operationId: 'deleteAccessToken',
  tags: ['access-tokens'],
  summary: 'Revoke an access token and the API key that was created with it',
  params: Type.Object({ accessTokenID: Type.String({ maxLength: 64 }) }),
  response: { 204: Type.Null() },
  errors: ['not_found'],
} satisfies Operation
