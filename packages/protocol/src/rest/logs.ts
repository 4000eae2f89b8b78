import Type from 'typebox'
import { MAX_UNIX_MS, OneOf, StringMap, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { SandboxId } from './sandboxes.ts'

export const MAX_LOG_LINES = 1000

export const LogLevel = OneOf(['debug', 'info', 'warn', 'error'], { title: 'LogLevel' })
export type LogLevel = Type.Static<typeof LogLevel>
export const LogsDirection = OneOf(['forward', 'backward'], {
  title: 'LogsDirection',
  description:
    'forward: oldest first, from the cursor on. backward: newest first, up to the cursor. Default forward',
})

/** The least severe level to include. */
export const MinimumLevel = Type.Optional(
  OneOf(['debug', 'info', 'warn', 'error'], {
    title: 'LogLevel',
    description: 'Only lines of this level and more severe ones. Default: all',
  }),
)

const SandboxLog = Type.Object(
  {
    timestamp: Time(),
    line: Type.String({ description: 'JSON object with level, logger, msg and more' }),
  },
  { title: 'SandboxLog', deprecated: true },
)
export const SandboxLogEntry = Type.Object(
  {
    timestamp: Time(),
    message: Type.String(),
    level: LogLevel,
    fields: StringMap({ description: 'Other fields of the line' }),
  },
  { title: 'SandboxLogEntry' },
)
export type SandboxLogEntry = Type.Static<typeof SandboxLogEntry>
const SandboxLogs = Type.Object(
  {
    logs: Type.Array(SandboxLog, { deprecated: true, description: 'The lines of logEntries as text' }),
    logEntries: Type.Array(SandboxLogEntry),
  },
  { title: 'SandboxLogs' },
)
const SandboxLogsV2Response = Type.Object(
  { logs: Type.Array(SandboxLogEntry) },
  { title: 'SandboxLogsV2Response' },
)

const Limit = Type.Optional(
  Type.Integer({
    minimum: 0,
    maximum: MAX_LOG_LINES,
    default: MAX_LOG_LINES,
    description: 'Most lines in the response',
  }),
)
export const UnixMs = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_UNIX_MS, description }))

export const getSandboxLogs = {
  operationId: 'getSandboxLogs',
  tags: ['logs'],
  summary: 'Read the log of a sandbox, oldest lines first',
  deprecated: true,
  params: SandboxId,
  querystring: Type.Object({
    start: UnixMs('Unix milliseconds, inclusive. Default: the start of the sandbox'),
    limit: Limit,
  }),
  response: { 200: SandboxLogs },
  errors: ['not_found'],
} satisfies Operation

export const getSandboxLogsV2 = {
  operationId: 'getSandboxLogsV2',
  tags: ['logs'],
  summary: 'Read the log of a sandbox, also after the sandbox has ended',
  params: SandboxId,
  querystring: Type.Object({
    cursor: UnixMs('Unix milliseconds, inclusive. Default: the first line in this direction'),
    limit: Limit,
    direction: Type.Optional(LogsDirection),
    level: MinimumLevel,
    search: Type.Optional(
      Type.String({ maxLength: 256, description: 'Only lines whose message contains this text' }),
    ),
  }),
  response: { 200: SandboxLogsV2Response },
  errors: ['not_found'],
} satisfies Operation
