import Type from 'typebox'
import { Defaulted, NullableInteger } from './fields.ts'
import type { Operation } from './operation.ts'

const StorageUsage = Type.Object(
  {
    checkpoints: Type.Integer({ description: 'How many' }),
    uploads: Type.Integer({ description: 'How many archives for COPY steps' }),
    uploadBytes: Type.Integer({ description: 'Size of those archives' }),
    sizeBytes: Type.Integer({ description: 'Checkpoints as they were written, and archives' }),
    storedBytes: Type.Integer({
      description: 'What packed copies of the checkpoints take, each chunk counted once',
    }),
    sharedBytes: Type.Integer({ description: 'How much of storedBytes checkpoints of others use too' }),
    limitBytes: NullableInteger({ description: 'Most that sizeBytes may be by the plan; null: no limit' }),
  },
  { title: 'StorageUsage' },
)
const CollectGarbageRequest = Type.Object(
  { isDryRun: Defaulted(Type.Boolean({ default: false, description: 'true: only count' })) },
  { title: 'CollectGarbageRequest' },
)
const GarbageReport = Type.Object(
  {
    chunks: Type.Integer({ description: 'Deleted, or with isDryRun: would be deleted' }),
    bytes: Type.Integer({ description: 'Size of those chunks' }),
    keptChunks: Type.Integer(),
    keptBytes: Type.Integer(),
  },
  { title: 'GarbageReport' },
)

export const getStorageUsage = {
  operationId: 'getStorageUsage',
  tags: ['usage'],
  summary: 'Get what the checkpoints and archives of the team take',
  response: { 200: StorageUsage },
  errors: [],
} satisfies Operation

export const collectGarbage = {
  operationId: 'collectGarbage',
  tags: ['usage'],
  summary: "Free what deleted checkpoints have left; for the administrator's team",
  description: 'The server does this by itself every 15 minutes.',
  body: CollectGarbageRequest,
  response: { 200: GarbageReport },
  errors: ['checkpoint_store_unavailable'],
} satisfies Operation
