import Type from 'typebox'
import { Defaulted, NullableInteger } from './fields.ts'
import type { Operation } from './operation.ts'

const StorageUsage = Type.Object(
  {
    checkpoints: Type.Integer({ description: 'How many' }),
    uploads: Type.Integer({ description: 'Number of archives for COPY steps' }),
    uploadBytes: Type.Integer({ description: 'Size of those archives' }),
    sizeBytes: Type.Integer({ description: 'Uncompressed size of checkpoints, plus archives' }),
    storedBytes: Type.Integer({
      description: 'Size of the packed copies of the checkpoints, each chunk counted once',
    }),
    sharedBytes: Type.Integer({
      description: 'Part of storedBytes that is shared with checkpoints of other teams',
    }),
    limitBytes: NullableInteger({ description: 'Limit of the plan for sizeBytes; null: no limit' }),
  },
  { title: 'StorageUsage' },
)
const CollectGarbageRequest = Type.Object(
  { isDryRun: Defaulted(Type.Boolean({ default: false, description: 'true: only count' })) },
  { title: 'CollectGarbageRequest' },
)
const GarbageReport = Type.Object(
  {
    chunks: Type.Integer({ description: 'Chunks that were deleted, or with isDryRun would be' }),
    bytes: Type.Integer({ description: 'Size of those chunks' }),
    keptChunks: Type.Integer(),
    keptBytes: Type.Integer(),
  },
  { title: 'GarbageReport' },
)

export const getStorageUsage = {
  operationId: 'getStorageUsage',
  tags: ['usage'],
  summary: 'Get the storage that checkpoints and archives of the team use',
  response: { 200: StorageUsage },
  errors: [],
} satisfies Operation

export const collectGarbage = {
  operationId: 'collectGarbage',
  tags: ['usage'],
  summary: "Delete chunks that no checkpoint needs; for the administrator's team only",
  description: 'The server does this by itself every 15 minutes.',
  body: CollectGarbageRequest,
  response: { 200: GarbageReport },
  errors: ['checkpoint_store_unavailable'],
} satisfies Operation
