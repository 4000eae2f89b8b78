import Type from 'typebox'
import type { Operation } from './operation.ts'

const OpenIdConfiguration = Type.Object(
  {
    issuer: Type.String({ description: 'Claim `iss` of the tokens' }),
    jwks_uri: Type.String(),
    response_types_supported: Type.Array(Type.String()),
    subject_types_supported: Type.Array(Type.String()),
    id_token_signing_alg_values_supported: Type.Array(Type.String()),
    claims_supported: Type.Array(Type.String()),
  },
  { title: 'OpenIdConfiguration' },
)

const JsonWebKey = Type.Object(
  {
    kty: Type.String(),
    crv: Type.String(),
    x: Type.String(),
    y: Type.String(),
    alg: Type.String(),
    use: Type.String(),
    kid: Type.String(),
  },
  { title: 'JsonWebKey' },
)

export const getOpenIdConfiguration = {
  operationId: 'getOpenIdConfiguration',
  tags: ['identity'],
  summary: 'Describe the issuer of identity tokens (OpenID Connect Discovery 1.0)',
  security: [],
  response: { 200: OpenIdConfiguration },
  errors: ['invalid_request', 'internal_server_error'],
} satisfies Operation

export const getJsonWebKeys = {
  operationId: 'getJsonWebKeys',
  tags: ['identity'],
  summary: 'List the public keys that identity tokens of sandboxes are verified with (RFC 7517)',
  description:
    'Tokens are JWT-SVIDs: ES256, `sub` is `spiffe://<domain>/team/<team>/sandbox/<sandbox>`, valid for five minutes.',
  security: [],
  response: { 200: Type.Object({ keys: Type.Array(JsonWebKey) }, { title: 'JsonWebKeySet' }) },
  errors: ['invalid_request', 'internal_server_error', 'secrets_unavailable', 'store_unavailable'],
} satisfies Operation
