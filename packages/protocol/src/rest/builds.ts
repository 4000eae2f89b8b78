import Type from 'typebox'
import { OneOf, Time } from './fields.ts'
import { LogLevel, LogsDirection, MinimumLevel } from './logs.ts'
import type { Operation } from './operation.ts'
import { TemplateBuildStatus, TemplateRef } from './templates.ts'

const MAX_STEPS = 500
const MAX_ARGUMENT = 64 * 1024
/** Most log entries of one answer. */
export const MAX_LOG_ENTRIES = 100

const Text = (maxLength: number, description?: string) =>
  Type.String({ maxLength, ...(description && { description }) })

export const BuildRef = Type.Object({
  ...TemplateRef.properties,
  buildID: Type.String({ maxLength: 256 }),
})

const TemplateBuildRequestV3 = Type.Object(
  {
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 256,
        description: 'name or name:tag of a new or known template',
      }),
    ),
    alias: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 256,
        deprecated: true,
        description: 'Name of the template, as old clients send it',
      }),
    ),
    tags: Type.Optional(
      Type.Array(Type.String({ maxLength: 128 }), {
        maxItems: 100,
        description: 'Tags that the build gets when it is ready. Default: the one in the name, else default',
      }),
    ),
    cpuCount: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 64,
        description: '1 or an even number. Default: that of the base image',
      }),
    ),
    memoryMB: Type.Optional(
      Type.Integer({
        minimum: 128,
        maximum: 1_048_576,
        description: 'MiB, an even number. Default: that of the base image',
      }),
    ),
    minFreeDiskMb: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 1_048_576, description: 'Least disk, in MiB' }),
    ),
    teamID: Type.Optional(
      Type.String({ maxLength: 100, deprecated: true, description: 'Team of the caller' }),
    ),
  },
  { title: 'TemplateBuildRequestV3' },
)
const TemplateRequestResponseV3 = Type.Object(
  {
    templateID: Type.String(),
    buildID: Type.String(),
    public: Type.Boolean(),
    names: Type.Array(Type.String(), { description: '<namespace>/<name>' }),
    tags: Type.Array(Type.String()),
    aliases: Type.Array(Type.String(), { deprecated: true }),
  },
  { title: 'TemplateRequestResponseV3' },
)

const GeneralRegistry = Type.Object(
  { type: Type.Literal('registry'), username: Text(1024), password: Text(16_384) },
  { title: 'GeneralRegistry' },
)
const AWSRegistry = Type.Object(
  {
    type: Type.Literal('aws'),
    awsAccessKeyId: Text(256),
    awsSecretAccessKey: Text(256),
    awsRegion: Type.String({ pattern: '^[a-z0-9-]{1,64}$' }),
  },
  { title: 'AWSRegistry' },
)
const GCPRegistry = Type.Object(
  {
    type: Type.Literal('gcp'),
    serviceAccountJson: Text(32_768, 'Key of a service account, as Google gives it'),
  },
  { title: 'GCPRegistry' },
)
const TemplateStep = Type.Object(
  {
    type: Text(32, 'COPY, RUN, ENV, WORKDIR or USER'),
    args: Type.Optional(Type.Array(Text(MAX_ARGUMENT), { maxItems: 1000 })),
    force: Type.Optional(Type.Boolean({ description: 'true: run it even if its result is cached' })),
    filesHash: Type.Optional(Text(64, 'COPY only: SHA-256 of the files, in lower-case hex')),
  },
  { title: 'TemplateStep' },
)

/** Clients send more keys, which the server ignores. */
export const TemplateBuildStartV2 = Type.Object(
  {
    fromImage: Type.Optional(Text(512, 'Image to start from; this or fromTemplate')),
    fromTemplate: Type.Optional(Text(256, 'Template to start from; this or fromImage')),
    fromImageRegistry: Type.Optional(
      Type.Union([GeneralRegistry, AWSRegistry, GCPRegistry], {
        title: 'FromImageRegistry',
        description: 'Login to the registry of fromImage',
      }),
    ),
    force: Type.Optional(Type.Boolean({ description: 'true: run every step even if its result is cached' })),
    steps: Type.Optional(Type.Array(TemplateStep, { maxItems: MAX_STEPS })),
    startCmd: Type.Optional(
      Text(MAX_ARGUMENT, 'Started at the end of the build; already running when sandboxes start'),
    ),
    readyCmd: Type.Optional(
      Text(MAX_ARGUMENT, 'Run every 2 s until it exits with 0, for at most 10 minutes'),
    ),
    templateEnvAtRuntime: Type.Optional(
      Type.Boolean({
        description: 'true: commands in sandboxes also get the variables of the image and of ENV steps',
      }),
    ),
  },
  { title: 'TemplateBuildStartV2' },
)
export type TemplateBuildStartV2 = Type.Static<typeof TemplateBuildStartV2>

export const BuildLogEntry = Type.Object(
  {
    timestamp: Time(),
    level: LogLevel,
    message: Type.String(),
    step: Type.Optional(Type.String({ description: 'base, finalize, or the number of the step from 1' })),
  },
  { title: 'BuildLogEntry' },
)
export type BuildLogEntry = Type.Static<typeof BuildLogEntry>
const BuildStatusReason = Type.Object(
  {
    message: Type.String(),
    step: Type.Optional(Type.String({ description: 'base, finalize, or the number of the step from 1' })),
    logEntries: Type.Optional(Type.Array(BuildLogEntry, { description: 'Log entries of that step' })),
  },
  { title: 'BuildStatusReason', description: 'Why a build failed' },
)
const TemplateBuildInfo = Type.Object(
  {
    templateID: Type.String(),
    buildID: Type.String(),
    status: TemplateBuildStatus,
    logEntries: Type.Array(BuildLogEntry, { description: 'Log entries from logsOffset on' }),
    logs: Type.Array(Type.String(), { deprecated: true, description: 'Always empty' }),
    reason: Type.Optional(BuildStatusReason),
  },
  { title: 'TemplateBuildInfo' },
)
const TemplateBuildLogsResponse = Type.Object(
  { logs: Type.Array(BuildLogEntry) },
  { title: 'TemplateBuildLogsResponse' },
)

const announce = {
  tags: ['templates'],
  summary: 'Announce a build of a new or known template',
  body: TemplateBuildRequestV3,
  response: { 202: TemplateRequestResponseV3 },
  errors: ['conflict', 'quota_exceeded'],
} as const

export const announceBuild = { ...announce, operationId: 'announceBuild' } satisfies Operation
export const announceBuildV2 = {
  ...announce,
  operationId: 'announceBuildV2',
  deprecated: true,
} satisfies Operation

export const startBuild = {
  operationId: 'startBuild',
  tags: ['templates'],
  summary: 'Queue an announced build, which then runs when it is its turn',
  params: BuildRef,
  body: TemplateBuildStartV2,
  response: { 202: Type.Null() },
  errors: [
    'not_found',
    'conflict',
    'payload_too_large',
    'quota_exceeded',
    'not_implemented',
    'server_draining',
  ],
} satisfies Operation

const Limit = Type.Optional(
  Type.Integer({
    minimum: 0,
    default: MAX_LOG_ENTRIES,
    description: `Most entries in the response; larger numbers count as ${MAX_LOG_ENTRIES}`,
  }),
)

export const getBuildStatus = {
  operationId: 'getBuildStatus',
  tags: ['templates'],
  summary: 'Get the state of a build, and its log entries from an offset on',
  params: BuildRef,
  querystring: Type.Object({
    logsOffset: Type.Optional(
      Type.Integer({ minimum: 0, default: 0, description: 'Number of entries to skip' }),
    ),
    limit: Limit,
    level: MinimumLevel,
  }),
  response: { 200: TemplateBuildInfo },
  errors: ['not_found'],
} satisfies Operation

export const getBuildLogs = {
  operationId: 'getBuildLogs',
  tags: ['templates'],
  summary: 'Read the log of a build by time',
  params: BuildRef,
  querystring: Type.Object({
    // no maximum: a client may send the largest number that it has
    cursor: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Unix milliseconds, inclusive. Default: the first entry in this direction',
      }),
    ),
    limit: Limit,
    direction: Type.Optional(LogsDirection),
    level: MinimumLevel,
    source: Type.Optional(
      OneOf(['temporary', 'persistent'], { title: 'LogsSource', description: 'Ignored' }),
    ),
  }),
  response: { 200: TemplateBuildLogsResponse },
  errors: ['not_found'],
} satisfies Operation
