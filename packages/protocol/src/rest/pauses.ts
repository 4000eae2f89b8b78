import Type from 'typebox'
import { Defaulted } from './fields.ts'
import type { Operation } from './operation.ts'
import { SANDBOX_ERRORS, Sandbox, SandboxId, Timeout } from './sandboxes.ts'

const Memory = Type.Optional(
  Type.Boolean({
    description: 'false: boot the sandbox from its file system, without its former processes. Default true',
  }),
)

export const ConnectSandbox = Type.Object({ timeout: Timeout(), memory: Memory }, { title: 'ConnectSandbox' })
export const ConnectSandboxV2 = Type.Object(
  { timeout: Defaulted(Timeout({ default: 300 })), memory: Memory },
  { title: 'ConnectSandboxV2' },
)
const ResumedSandbox = Type.Object(
  {
    timeout: Defaulted(Timeout({ default: 15 })),
    autoPause: Type.Optional(Type.Boolean({ deprecated: true, description: 'Ignored' })),
    memory: Memory,
  },
  { title: 'ResumedSandbox' },
)
const SandboxPauseRequest = Type.Object(
  {
    memory: Type.Optional(Type.Boolean({ description: 'false: keep only the file system. Default true' })),
    requireHealthyGuest: Type.Optional(
      Type.Boolean({
        description:
          'true: when envd does not respond, fail with 503 and keep the sandbox running. false: pause it anyway; it can then only be resumed with memory false. Always true when memory is false',
      }),
    ),
  },
  { title: 'SandboxPauseRequest' },
)

const RESUME_ERRORS = [
  ...SANDBOX_ERRORS,
  'checkpoint_not_found',
  'sandbox_snapshot_guest_agent_unresponsive',
  'quota_exceeded',
  'checkpoint_damaged',
  'sandbox_capacity_unavailable',
  'checkpoint_store_unavailable',
  'operation_timeout',
  'disk_full',
] as const

const connect = {
  tags: ['sandboxes'],
  summary: 'Connect to a sandbox: extend its time, and resume it when it is paused',
  params: SandboxId,
  description: '200: the sandbox was running. 201: it was paused and has been resumed.',
  response: { 200: Sandbox, 201: Sandbox },
  errors: RESUME_ERRORS,
} as const

export const connectSandbox = {
  ...connect,
  operationId: 'connectSandbox',
  deprecated: true,
  body: ConnectSandbox,
} satisfies Operation

export const connectSandboxV2 = {
  ...connect,
  operationId: 'connectSandboxV2',
  body: ConnectSandboxV2,
} satisfies Operation

export const resumeSandbox = {
  operationId: 'resumeSandbox',
  tags: ['persistence'],
  summary: 'Resume a paused sandbox',
  description: 'Use POST /v2/sandboxes/{sandboxID}/connect, which also accepts running sandboxes.',
  deprecated: true,
  params: SandboxId,
  body: ResumedSandbox,
  response: { 201: Sandbox },
  errors: RESUME_ERRORS,
} satisfies Operation

export const pauseSandbox = {
  operationId: 'pauseSandbox',
  tags: ['persistence'],
  summary: 'Pause a sandbox, keeping its memory or only its file system',
  params: SandboxId,
  body: SandboxPauseRequest,
  response: { 204: Type.Null() },
  errors: [
    ...SANDBOX_ERRORS,
    'checkpoint_blocked',
    'checkpoint_failed',
    'sandbox_guest_unresponsive',
    'operation_timeout',
    'disk_full',
  ],
} satisfies Operation
