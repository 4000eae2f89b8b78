import Type from 'typebox'
import { StringMap, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { NEXT_TOKEN_HEADER, Page } from './pages.ts'

const SecretId = Type.Object({
  secretID: Type.String({ maxLength: 256, description: 'Id, or name in upper or lower case' }),
})

const SecretMetadata = StringMap({
  title: 'SecretMetadata',
  description: 'Labels: at most 32 keys, values of at most 1024 characters, at most 8192 bytes together',
})

const Secret = Type.Object(
  {
    secretID: Type.String({ description: '`sec_` and 20 letters and digits' }),
    name: Type.String({ description: 'Unique within the team, in lower case' }),
    currentVersion: Type.Integer({
      description: '1 for the first value, and 1 more for each update; only the newest value is kept',
    }),
    metadata: SecretMetadata,
    createdAt: Time(),
    updatedAt: Time(),
  },
  { title: 'Secret' },
)

/** The value: no answer and no error message contains it (`writeOnly`). */
const value = Type.String({
  writeOnly: true,
  description:
    'At most 65536 bytes of UTF-8, without line breaks and other control characters, which no header can hold. No answer contains it',
})

const NewSecret = Type.Object(
  {
    name: Type.String({
      description: '1 to 128 letters, digits, `-` and `_`; kept in lower case; not beginning with `sec_`',
    }),
    value,
    metadata: Type.Optional(SecretMetadata),
  },
  { title: 'NewSecret' },
)
const SecretUpdate = Type.Object(
  {
    value,
    metadata: Type.Optional(SecretMetadata),
  },
  { title: 'SecretUpdate' },
)

export const listSecrets = {
  operationId: 'listSecrets',
  tags: ['secrets'],
  summary: 'List the secrets of the team, the newest first; values are never shown',
  querystring: Type.Object(Page),
  response: { 200: { ...Type.Array(Secret), headers: NEXT_TOKEN_HEADER } },
  errors: ['store_unavailable'],
} satisfies Operation

export const createSecret = {
  operationId: 'createSecret',
  tags: ['secrets'],
  summary: 'Store a secret',
  description:
    'Headers of network rules refer to the value by a placeholder, `e2b.secrets.<name>` in `${ }`; it never enters a sandbox. A request may have at most 512 KiB.',
  body: NewSecret,
  response: { 201: Secret },
  errors: [
    'conflict',
    'secret_limit_reached',
    'payload_too_large',
    'secrets_unavailable',
    'store_unavailable',
    'disk_full',
  ],
} satisfies Operation

export const getSecret = {
  operationId: 'getSecret',
  tags: ['secrets'],
  summary: 'Describe a secret, without its value',
  params: SecretId,
  response: { 200: Secret },
  errors: ['not_found', 'store_unavailable'],
} satisfies Operation

export const updateSecret = {
  operationId: 'updateSecret',
  tags: ['secrets'],
  summary: 'Give a secret a new value, which the next request of a sandbox uses',
  description: '`metadata` replaces all labels; without it they stay.',
  params: SecretId,
  body: SecretUpdate,
  response: { 200: Secret },
  errors: ['not_found', 'payload_too_large', 'secrets_unavailable', 'store_unavailable', 'disk_full'],
} satisfies Operation

export const deleteSecret = {
  operationId: 'deleteSecret',
  tags: ['secrets'],
  summary: 'Delete a secret; requests that need it are refused from now on',
  params: SecretId,
  response: { 204: Type.Null() },
  errors: ['not_found', 'store_unavailable'],
} satisfies Operation
