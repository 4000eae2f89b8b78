import Type from 'typebox'
import { ApiError } from './error.ts'
import { Defaulted } from './fields.ts'
import { IDEMPOTENCY_ERRORS, IdempotencyHeaders } from './idempotency.ts'
import type { Operation } from './operation.ts'
import { SANDBOX_ERRORS, Sandbox, SandboxId, Timeout } from './sandboxes.ts'

const MAX_FORKS = 100

export const SandboxForkRequest = Type.Object(
  {
    timeout: Defaulted(Timeout({ default: 15, description: 'Seconds that each copy lives, from now' })),
    count: Defaulted(
      Type.Integer({ minimum: 1, maximum: MAX_FORKS, default: 1, description: 'How many copies' }),
    ),
  },
  { title: 'SandboxForkRequest' },
)

const SandboxForkResult = Type.Object(
  { sandbox: Type.Optional(Sandbox), error: Type.Optional(ApiError) },
  { title: 'SandboxForkResult', description: 'A copy, or the error of a copy that failed' },
)

export const forkSandbox = {
  operationId: 'forkSandbox',
  tags: ['persistence'],
  summary: 'Copy a running sandbox with its memory and disk',
  description:
    'Each copy counts as a create for the rate of the plan. A copy that fails does not affect the others: its entry holds the error.',
  params: SandboxId,
  headers: IdempotencyHeaders,
  body: SandboxForkRequest,
  response: { 201: Type.Array(SandboxForkResult, { description: 'One entry for each copy' }) },
  errors: [
    ...SANDBOX_ERRORS,
    ...IDEMPOTENCY_ERRORS,
    'checkpoint_blocked',
    'checkpoint_failed',
    'server_draining',
    'operation_timeout',
    'disk_full',
  ],
} satisfies Operation
