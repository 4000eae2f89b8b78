import Type from 'typebox'
import { OneOf } from './fields.ts'
import type { Operation } from './operation.ts'

const FORM = ['application/x-www-form-urlencoded']
const Text = Type.String({ maxLength: 4096 })

const OAuthError = Type.Object(
  {
    error: OneOf([
      'invalid_request',
      'invalid_client',
      'invalid_grant',
      'unsupported_grant_type',
      'server_error',
    ]),
    error_description: Type.String(),
  },
  { title: 'OAuthError', description: 'Error of RFC 6749, section 5.2' },
)
const OAuthToken = Type.Object(
  {
    access_token: Type.String(),
    refresh_token: Type.String(),
    token_type: OneOf(['Bearer']),
    expires_in: Type.Integer({ description: 'Seconds until the access token expires' }),
  },
  { title: 'OAuthToken' },
)
const OAuthTokenRequest = Type.Object(
  {
    grant_type: Type.String({ maxLength: 4096, description: 'refresh_token' }),
    refresh_token: Type.Optional(Text),
    client_id: Type.String({ maxLength: 4096, description: 'e2b-cli' }),
  },
  { title: 'OAuthTokenRequest' },
)
const OAuthRevokeRequest = Type.Object(
  {
    token: Type.String({ maxLength: 4096, description: 'A refresh or an access token' }),
    token_type_hint: Type.Optional(Type.String({ maxLength: 4096, description: 'Ignored' })),
    client_id: Type.Optional(Type.String({ maxLength: 4096, description: 'Ignored' })),
  },
  { title: 'OAuthRevokeRequest' },
)
const errors = { 400: OAuthError, 429: OAuthError, '4xx': OAuthError, '5xx': OAuthError }

export const refreshSession = {
  operationId: 'refreshSession',
  tags: ['oauth'],
  summary: 'Exchange a refresh token for new tokens',
  security: [],
  consumes: FORM,
  body: OAuthTokenRequest,
  response: { 200: OAuthToken, ...errors },
} satisfies Operation

export const revokeSession = {
  operationId: 'revokeSession',
  tags: ['oauth'],
  summary: 'End the session of a token; unknown tokens are ignored',
  security: [],
  consumes: FORM,
  body: OAuthRevokeRequest,
  response: { 200: Type.Null(), ...errors },
} satisfies Operation
