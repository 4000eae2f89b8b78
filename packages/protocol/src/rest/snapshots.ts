import Type from 'typebox'
import { IDEMPOTENCY_ERRORS, IdempotencyHeaders } from './idempotency.ts'
import type { Operation } from './operation.ts'
import { NEXT_TOKEN_HEADER, Page } from './pages.ts'
import { SANDBOX_ERRORS, SandboxId } from './sandboxes.ts'

const SandboxSnapshotRequest = Type.Object(
  {
    name: Type.Optional(
      Type.String({ maxLength: 256, description: 'name or name:tag. Default: no name, only an id' }),
    ),
    memory: Type.Optional(
      Type.Boolean({
        description: 'false: keep only the file system, from which sandboxes then boot. Default true',
      }),
    ),
  },
  { title: 'SandboxSnapshotRequest' },
)

export const SnapshotInfo = Type.Object(
  {
    snapshotID: Type.String({ description: 'Pass this as templateID to create a sandbox from the snapshot' }),
    names: Type.Array(Type.String({ description: '<namespace>/<name>' })),
  },
  { title: 'SnapshotInfo' },
)

export const createSnapshot = {
  operationId: 'createSnapshot',
  tags: ['persistence'],
  summary: 'Save a running sandbox as a template for new sandboxes; the sandbox keeps running',
  params: SandboxId,
  headers: IdempotencyHeaders,
  body: SandboxSnapshotRequest,
  response: { 201: SnapshotInfo },
  errors: [
    ...SANDBOX_ERRORS,
    ...IDEMPOTENCY_ERRORS,
    'quota_exceeded',
    'checkpoint_blocked',
    'checkpoint_failed',
    'operation_timeout',
    'disk_full',
  ],
} satisfies Operation

export const listSnapshots = {
  operationId: 'listSnapshots',
  tags: ['persistence'],
  summary: 'List snapshots, newest first',
  querystring: Type.Object({
    sandboxID: Type.Optional(Type.String({ maxLength: 128, description: 'Only snapshots of this sandbox' })),
    name: Type.Optional(
      Type.String({
        maxLength: 256,
        description: 'Only snapshots with this name or id, with or without :tag',
      }),
    ),
    ...Page,
  }),
  response: { 200: Type.Array(SnapshotInfo, { headers: NEXT_TOKEN_HEADER }) },
  errors: [],
} satisfies Operation
