import Type from 'typebox'
import type { Operation } from './operation.ts'
import { SANDBOX_ERRORS, SandboxId, SandboxVolumeMount } from './sandboxes.ts'

export const mountVolume = {
  operationId: 'mountVolume',
  tags: ['volumes'],
  summary: 'Mount a volume into a running sandbox',
  description:
    'The path is made if it does not exist, and hides what it has. A volume that is mounted there in the same way already is left as it is. The mount returns after a pause, in forks and after a rollback.',
  params: SandboxId,
  body: SandboxVolumeMount,
  response: { 201: SandboxVolumeMount },
  errors: [...SANDBOX_ERRORS, 'volume_unavailable'],
} satisfies Operation

export const unmountVolume = {
  operationId: 'unmountVolume',
  tags: ['volumes'],
  summary: 'Unmount the volume at a path of a running sandbox',
  description:
    'Files that processes have open stay usable; the path shows what the sandbox itself has there.',
  params: SandboxId,
  querystring: Type.Object({
    path: Type.String({ maxLength: 4096, description: 'Path that the volume is mounted at' }),
  }),
  response: { 204: Type.Null() },
  errors: [...SANDBOX_ERRORS, 'volume_not_mounted'],
} satisfies Operation
