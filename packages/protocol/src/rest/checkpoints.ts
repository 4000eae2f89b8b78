import Type from 'typebox'
import { NullableString, OneOf, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { SANDBOX_ERRORS, Sandbox, SandboxId } from './sandboxes.ts'

export const Checkpoint = Type.Object(
  {
    checkpointID: Type.String(),
    parentID: NullableString({
      description: 'Checkpoint that the sandbox ran from before this one; null: the template',
    }),
    createdAt: Time(),
    why: OneOf(['pause', 'auto-pause', 'snapshot', 'checkpoint', 'fork', 'build'], {
      description: 'Operation that made the checkpoint',
    }),
    memory: Type.Boolean({ description: 'false: it holds only the file system' }),
    sizeBytes: Type.Integer({ description: 'Uncompressed size' }),
    isHead: Type.Boolean({ description: 'true: the current state of the sandbox came from this checkpoint' }),
    names: Type.Array(Type.String(), { description: 'Names of snapshots that refer to this checkpoint' }),
  },
  { title: 'Checkpoint' },
)
export type Checkpoint = Type.Static<typeof Checkpoint>

export const KeepPolicy = Type.Object(
  {
    last: Type.Integer({
      minimum: 0,
      maximum: 1000,
      description: 'Number of older checkpoints that are kept beside the newest',
    }),
    maxAgeSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Checkpoints that are older are deleted. Default: no limit of age',
      }),
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
      description: 'true: at least one list was cut off after 10 000 paths',
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
  summary: 'Save a checkpoint of a running sandbox to roll back to; the sandbox keeps running',
  params: SandboxId,
  response: { 201: Checkpoint },
  errors: [
    ...SANDBOX_ERRORS,
    'quota_exceeded',
    'checkpoint_blocked',
    'checkpoint_failed',
    'operation_timeout',
    'disk_full',
  ],
} satisfies Operation

export const rollBackSandbox = {
  operationId: 'rollBackSandbox',
  tags: ['persistence'],
  summary: 'Roll a sandbox back to one of its own checkpoints',
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
  summary: 'List the checkpoints of a sandbox with parent, time, size and purpose',
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
      Type.String({ maxLength: 64, description: 'Id of a checkpoint. Default: the parent of `to`' }),
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
