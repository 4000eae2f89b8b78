import Type from 'typebox'
import { NullableString, OneOf, StringMap, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { SandboxId } from './sandboxes.ts'

const MAX_OFFSET = 1_000_000

const EventExecution = Type.Object(
  {
    started_at: Time(),
    vcpu_count: Type.Integer(),
    memory_mb: Type.Integer({ description: 'MiB' }),
    execution_time: Type.Integer({ description: 'Milliseconds' }),
  },
  { title: 'SandboxEventExecution' },
)
const EventCheckpoint = Type.Object(
  {
    id: Type.String(),
    why: Type.Optional(Type.String({ description: 'Of checkpointed: what it was made for' })),
    memory: Type.Optional(Type.Boolean({ description: 'Of paused: false: it holds only the file system' })),
    size_bytes: Type.Integer(),
    stopped_ms: Type.Optional(
      Type.Number({ description: 'Of checkpointed: how long the sandbox stood still' }),
    ),
  },
  { title: 'SandboxEventCheckpoint' },
)
export const SandboxEventData = Type.Object(
  {
    sandbox_metadata: Type.Optional(StringMap({ description: 'Metadata of the sandbox' })),
    set_timeout: Type.Optional(Time('Of updated: the new end of its time')),
    stalled: Type.Optional(
      NullableString({ description: 'Of updated: why the sandbox stands still; null: it goes on' }),
    ),
    rollback: Type.Optional(
      Type.Object({ checkpoint_id: Type.String() }, { description: 'Of updated: what it was taken back to' }),
    ),
    adopted: Type.Optional(
      Type.Object(
        { from: Type.String({ description: 'Name of that machine' }) },
        { description: 'Of updated: it was taken over from another machine' },
      ),
    ),
    pause_reason: Type.Optional(OneOf(['request', 'timeout', 'recovered'], { description: 'Of paused' })),
    checkpoint: Type.Optional(EventCheckpoint),
    resume_reason: Type.Optional(OneOf(['request', 'traffic'], { description: 'Of resumed' })),
    memory: Type.Optional(Type.Boolean({ description: 'Of resumed: false: it booted' })),
    fallback: Type.Optional(
      Type.String({ description: 'Of resumed: why it booted although its memory was kept' }),
    ),
    kill_reason: Type.Optional(
      Type.String({ description: 'Of killed: request, timeout, abandoned, lost, exited: … and others' }),
    ),
    execution: Type.Optional(EventExecution),
  },
  { title: 'SandboxEventData', description: 'What there is to say depends on the type of the event' },
)
export type SandboxEventData = Type.Static<typeof SandboxEventData>

export const SandboxEvent = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    version: Type.String({ description: 'Version of this format: v2' }),
    type: Type.String({
      description: 'sandbox.lifecycle. and created, updated, killed, paused, resumed or checkpointed',
    }),
    timestamp: Time(),
    event_category: Type.String({ description: 'lifecycle' }),
    event_label: Type.String({ description: 'create, update, kill, pause, resume or checkpoint' }),
    event_data: SandboxEventData,
    sandbox_id: Type.String(),
    sandbox_execution_id: Type.String({ description: 'Changes with every resume' }),
    sandbox_template_id: Type.String(),
    sandbox_build_id: Type.String(),
    sandbox_team_id: Type.String(),
  },
  { title: 'SandboxEvent' },
)

const EventType = Type.String({ maxLength: 512 })
const EventsQuery = Type.Object({
  offset: Type.Optional(
    Type.Integer({ minimum: 0, maximum: MAX_OFFSET, default: 0, description: 'How many events to skip' }),
  ),
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 100, default: 10, description: 'Most events of the answer' }),
  ),
  orderAsc: Type.Optional(Type.Boolean({ default: false, description: 'true: oldest first' })),
  types: Type.Optional(
    Type.Union([EventType, Type.Array(EventType, { maxItems: 20 })], {
      description: 'Only these types; separated by commas, or as several parameters',
    }),
  ),
})

export const listEvents = {
  operationId: 'listEvents',
  tags: ['events'],
  summary: 'List lifecycle events of the sandboxes of the team, kept for 7 days after the end of a sandbox',
  querystring: EventsQuery,
  response: { 200: Type.Array(SandboxEvent) },
  errors: [],
} satisfies Operation

export const listSandboxEvents = {
  operationId: 'listSandboxEvents',
  tags: ['events'],
  summary: 'List lifecycle events of one sandbox, which may have ended',
  params: SandboxId,
  querystring: EventsQuery,
  response: { 200: Type.Array(SandboxEvent) },
  errors: ['not_found'],
} satisfies Operation
