import Type from 'typebox'
import { NullableString, OneOf, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { SANDBOX_ERRORS, Sandbox, SandboxId } from './sandboxes.ts'

export const Checkpoint = Type.Object(
  {
    checkpointID: Type.String(),
    parentID: NullableString({ description: 'Checkpoint that this one came from; null: the template' }),
    createdAt: Time(),
    why: OneOf(['pause', 'auto-pause', 'snapshot', 'checkpoint', 'fork', 'build'], {
      description: 'What it was made for',
    }),
    memory: Type.Boolean({ description: 'false: it holds only the file system' }),
    sizeBytes: Type.Integer({ description: 'Size as it was written' }),
    isHead: Type.Boolean({ description: 'The sandbox descends from it directly' }),
    names: Type.Array(Type.String(), { description: 'Snapshots that are this checkpoint' }),
  },
  { title: 'Checkpoint' },
)
export type Checkpoint = Type.Static<typeof Checkpoint>

export const KeepPolicy = Type.Object(
  {
    last: Type.Integer({
      minimum: 0,
      maximum: 1000,
      description: 'How many older checkpoints are kept beside the newest',
    }),
    maxAgeSeconds: Type.Optional(
      Type.Integer({ minimum: 0, description: 'Older ones than this are deleted. Default: of any age' }),
    ),
  },
  { title: 'KeepPolicy' },
)

const SandboxTree = Type.Object(
  {
    sandboxID: Type.String(),
    keep: KeepPolicy,
    checkpoints: Type.Array(Checkpoint, { description: 'Oldest first' }),
  },
  { title: 'SandboxTree' },
)

const Paths = (description: string) => Type.Array(Type.String(), { description })
const SandboxDiff = Type.Object(
  {
    from: Type.String({ description: 'Id of a checkpoint' }),
    to: Type.String({ description: 'Id of a checkpoint' }),
    added: Paths('Absolute paths'),
    changed: Paths('Absolute paths'),
    deleted: Paths('Absolute paths'),
    isTruncated: Type.Boolean({
      description: 'true: there are more than the 10 000 of each that are listed',
    }),
  },
  { title: 'SandboxDiff' },
)
const SandboxRollbackRequest = Type.Object(
  { checkpointID: Type.String({ maxLength: 64 }) },
  { title: 'SandboxRollbackRequest' },
)

export const createCheckpoint = {
  operationId: 'createCheckpoint',
  tags: ['persistence'],
  summary: 'Save a point of a running sandbox to come back to; the sandbox runs on',
  params: SandboxId,
  response: { 201: Checkpoint },
  errors: [...SANDBOX_ERRORS, 'quota_exceeded', 'checkpoint_failed', 'operation_timeout', 'disk_full'],
} satisfies Operation

export const rollBackSandbox = {
  operationId: 'rollBackSandbox',
  tags: ['persistence'],
  summary: 'Take a sandbox back to an earlier checkpoint of its own',
  params: SandboxId,
  body: SandboxRollbackRequest,
  response: { 200: Sandbox },
  errors: [
    ...SANDBOX_ERRORS,
    'checkpoint_not_found',
    'quota_exceeded',
    'checkpoint_damaged',
    'sandbox_capacity_unavailable',
    'checkpoint_store_unavailable',
    'operation_timeout',
  ],
} satisfies Operation

export const getSandboxTree = {
  operationId: 'getSandboxTree',
  tags: ['persistence'],
  summary: 'List the checkpoints of a sandbox: which came from which, when, how large, why',
  params: SandboxId,
  response: { 200: SandboxTree },
  errors: SANDBOX_ERRORS,
} satisfies Operation

export const getSandboxDiff = {
  operationId: 'getSandboxDiff',
  tags: ['persistence'],
  summary: 'List the files that were added, changed or deleted between two checkpoints',
  params: SandboxId,
  querystring: Type.Object({
    from: Type.Optional(
      Type.String({ maxLength: 64, description: 'Id of a checkpoint. Default: the one that `to` came from' }),
    ),
    to: Type.Optional(Type.String({ maxLength: 64, description: 'Id of a checkpoint. Default: the newest' })),
  }),
  response: { 200: SandboxDiff },
  errors: [
    ...SANDBOX_ERRORS,
    'checkpoint_not_found',
    'quota_exceeded',
    'checkpoint_damaged',
    'sandbox_capacity_unavailable',
    'operation_timeout',
  ],
} satisfies Operation

export const setSandboxKeep = {
  operationId: 'setSandboxKeep',
  tags: ['persistence'],
  summary: 'Set how many old checkpoints a sandbox keeps',
  params: SandboxId,
  body: KeepPolicy,
  response: { 204: Type.Null() },
  errors: SANDBOX_ERRORS,
} satisfies Operation
