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
    why: Type.Optional(Type.String({ description: 'checkpointed only: operation that made the checkpoint' })),
    memory: Type.Optional(
      Type.Boolean({ description: 'paused only: false means that only the file system was kept' }),
    ),
    size_bytes: Type.Integer(),
    stopped_ms: Type.Optional(
      Type.Number({ description: 'checkpointed only: how long the sandbox was frozen' }),
    ),
  },
  { title: 'SandboxEventCheckpoint' },
)
const EventNetwork = Type.Object(
  {
    allowed_cidrs: Type.Array(Type.String()),
    denied_cidrs: Type.Array(Type.String()),
    allowed_domains: Type.Array(Type.String()),
  },
  {
    title: 'SandboxEventNetwork',
    description: 'updated only: the new rules for outgoing connections, at most 100 entries of each list',
  },
)
export const SandboxEventData = Type.Object(
  {
    sandbox_metadata: Type.Optional(StringMap({ description: 'Metadata of the sandbox' })),
    set_timeout: Type.Optional(Time("updated only: the new end of the sandbox's time")),
    network_egress: Type.Optional(EventNetwork),
    stalled: Type.Optional(
      NullableString({ description: 'updated only: why the sandbox was frozen; null: it runs again' }),
    ),
    rollback: Type.Optional(
      Type.Object(
        { checkpoint_id: Type.String() },
        { description: 'updated only: the checkpoint that it was rolled back to' },
      ),
    ),
    volume_mounts: Type.Optional(
      Type.Array(
        Type.Object({ name: Type.String(), path: Type.String(), read_only: Type.Optional(Type.Boolean()) }),
        { description: 'updated only: the volumes that are mounted now' },
      ),
    ),
    adopted: Type.Optional(
      Type.Object(
        { from: Type.String({ description: 'Name of that machine' }) },
        { description: 'updated only: the sandbox was taken over from another machine' },
      ),
    ),
    pause_reason: Type.Optional(OneOf(['request', 'timeout', 'recovered'], { description: 'paused only' })),
    checkpoint: Type.Optional(EventCheckpoint),
    memory_lost: Type.Optional(
      Type.String({ description: 'paused only: why a pause at the deadline was made without the memory' }),
    ),
    resume_reason: Type.Optional(OneOf(['request', 'traffic'], { description: 'resumed only' })),
    memory: Type.Optional(Type.Boolean({ description: 'resumed only: false means that the sandbox booted' })),
    fallback: Type.Optional(
      Type.String({ description: 'resumed only: why the sandbox booted although its memory had been kept' }),
    ),
    kill_reason: Type.Optional(
      Type.String({ description: 'killed only: request, timeout, abandoned, lost, exited: … and others' }),
    ),
    execution: Type.Optional(EventExecution),
  },
  { title: 'SandboxEventData', description: 'Which fields are present depends on the type of the event' },
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
    Type.Integer({ minimum: 1, maximum: 100, default: 10, description: 'Most events in the response' }),
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
