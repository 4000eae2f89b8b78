import Type from 'typebox'
import { CommaSeparated, MAX_UNIX_MS, MapOf, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { SandboxId } from './sandboxes.ts'

export const SandboxMetric = Type.Object(
  {
    timestamp: Time(),
    timestampUnix: Type.Integer({ description: 'Unix seconds' }),
    cpuCount: Type.Integer({ description: 'Virtual CPUs' }),
    cpuUsedPct: Type.Number({ description: 'Percent of one CPU; up to 100 times cpuCount' }),
    memUsed: Type.Integer({ description: 'Bytes' }),
    memTotal: Type.Integer({ description: 'Bytes' }),
    memCache: Type.Integer({ description: 'Bytes of page cache' }),
    diskUsed: Type.Integer({ description: 'Bytes' }),
    diskTotal: Type.Integer({ description: 'Bytes' }),
  },
  { title: 'SandboxMetric' },
)
export type SandboxMetric = Type.Static<typeof SandboxMetric>

const SandboxesWithMetrics = Type.Object(
  { sandboxes: MapOf(SandboxMetric, { description: 'By sandbox, under the name that sandbox_ids used' }) },
  { title: 'SandboxesWithMetrics' },
)

const UnixSeconds = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_UNIX_MS / 1000, description }))

export const getSandboxMetrics = {
  operationId: 'getSandboxMetrics',
  tags: ['metrics'],
  summary: 'List CPU, memory and disk use of a sandbox, sampled every 5 seconds and kept for a day',
  params: SandboxId,
  querystring: Type.Object({
    start: UnixSeconds('Unix seconds, inclusive. Default: the start of the sandbox'),
    end: UnixSeconds('Unix seconds, inclusive. Default: now'),
  }),
  response: { 200: Type.Array(SandboxMetric, { description: 'Oldest first' }) },
  errors: ['not_found'],
} satisfies Operation

export const getSandboxesMetrics = {
  operationId: 'getSandboxesMetrics',
  tags: ['metrics'],
  summary: 'Get the newest sample of several sandboxes; those that do not run are left out',
  querystring: Type.Object({
    sandbox_ids: CommaSeparated(Type.String(), { maxLength: 8192, description: 'At most 100 ids' }),
  }),
  response: { 200: SandboxesWithMetrics },
  errors: [],
} satisfies Operation
