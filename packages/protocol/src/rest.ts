import Type from 'typebox'

/** Longest time to live a request may ask for, in seconds: a signed 32-bit integer. */
const MAX_TIMEOUT_SECONDS = 2 ** 31 - 1
const Timeout = (options = {}) =>
  Type.Integer({
    minimum: 0,
    maximum: MAX_TIMEOUT_SECONDS,
    description: 'Seconds to live, from now',
    ...options,
  })
/** Callers may leave it out, handlers always see it: validation fills the default in. */
const Defaulted = <T extends Type.TSchema>(schema: T): T => Type.Optional(schema) as unknown as T
const StringMap = (options = {}) => Type.Record(Type.String(), Type.String(), options)
const Nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()])

export const ErrorSchema = Type.Object({
  code: Type.Integer({ description: 'The HTTP status' }),
  message: Type.String(),
  error_code: Type.Optional(Type.String({ description: 'Stable name of the error' })),
})

export const NetworkConfig = Type.Object({
  allowPublicTraffic: Type.Optional(
    Type.Boolean({ description: 'false: ports other than envd need the traffic access token' }),
  ),
  allowOut: Type.Optional(Type.Array(Type.String({ maxLength: 256 }), { maxItems: 1000 })),
  denyOut: Type.Optional(Type.Array(Type.String({ maxLength: 256 }), { maxItems: 1000 })),
  egressProxy: Type.Optional(Nullable(Type.Object({}, { additionalProperties: true }))),
  maskRequestHost: Type.Optional(
    Type.String({
      maxLength: 255,
      pattern: '^[!-~]*$',
      description: 'Host header for the app; the placeholder PORT in braces is the port',
    }),
  ),
  rules: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  httpsPorts: Type.Optional(Type.Array(Type.Integer({ minimum: 1, maximum: 65535 }), { maxItems: 100 })),
})

const newSandboxProperties = {
  templateID: Type.String({
    minLength: 1,
    maxLength: 256,
    description: 'Id, name or namespace/name; with :tag or :<build id>',
  }),
  autoPause: Type.Optional(Type.Boolean({ default: false })),
  autoPauseMemory: Type.Optional(Type.Boolean({ default: true })),
  autoResume: Type.Optional(Type.Object({ enabled: Type.Optional(Type.Boolean()) })),
  allow_internet_access: Type.Optional(Nullable(Type.Boolean())),
  network: Type.Optional(Nullable(NetworkConfig)),
  metadata: Type.Optional(StringMap({ description: 'Found again with the metadata filter of the list' })),
  envVars: Type.Optional(StringMap({ description: 'Environment of every process' })),
  mcp: Type.Optional(Nullable(Type.Record(Type.String(), Type.Unknown()))),
  iam: Type.Optional(
    Nullable(Type.Object({ tokens: Type.Optional(Type.Record(Type.String(), Type.Unknown())) })),
  ),
  volumeMounts: Type.Optional(
    Type.Array(
      Type.Object({ name: Type.String({ maxLength: 128 }), path: Type.String({ maxLength: 4096 }) }),
      { maxItems: 64 },
    ),
  ),
}

export const NewSandbox = Type.Object({
  ...newSandboxProperties,
  timeout: Defaulted(Timeout({ default: 15 })),
  secure: Type.Optional(
    Type.Boolean({
      default: false,
      description:
        'true: envd asks for the access token of the answer. Without it whoever has the id may use the sandbox',
    }),
  ),
})
export const NewSandboxV2 = Type.Object({
  ...newSandboxProperties,
  timeout: Defaulted(Timeout({ minimum: 1, default: 300 })),
})
export type NewSandbox = Type.Static<typeof NewSandbox>

export const ConnectSandbox = Type.Object({ timeout: Timeout(), memory: Type.Optional(Type.Boolean()) })
export const ConnectSandboxV2 = Type.Object({
  timeout: Defaulted(Timeout({ default: 300 })),
  memory: Type.Optional(Type.Boolean()),
})
/** The old way back from a pause. */
export const ResumeSandbox = Type.Object({
  timeout: Defaulted(Timeout({ default: 15 })),
  autoPause: Type.Optional(Type.Boolean()),
  memory: Type.Optional(Type.Boolean()),
})
export const PauseSandbox = Type.Object({
  memory: Type.Optional(Type.Boolean({ description: 'false: only the file system is saved' })),
  requireHealthyGuest: Type.Optional(
    Type.Boolean({
      description:
        'true: 503 while envd does not answer, and the sandbox runs on. Otherwise such a sandbox is resumed with memory false only. Without memory always true',
    }),
  ),
})
const MAX_FORKS = 100
export const ForkSandbox = Type.Object({
  timeout: Defaulted(Timeout({ default: 15 })),
  count: Defaulted(Type.Integer({ minimum: 1, maximum: MAX_FORKS, default: 1 })),
})
export const NewSnapshot = Type.Object({
  name: Type.Optional(Type.String({ maxLength: 256, description: 'name or name:tag; absent: only an id' })),
  memory: Type.Optional(
    Type.Boolean({ description: 'false: only the file system; sandboxes made from it boot' }),
  ),
})
export const SnapshotInfo = Type.Object({
  snapshotID: Type.String({ description: 'Sandboxes can be created from it' }),
  names: Type.Array(Type.String()),
})
export const Rollback = Type.Object({ checkpointID: Type.String({ maxLength: 64 }) })
export const KeepPolicy = Type.Object({
  last: Type.Integer({ minimum: 0, maximum: 1000, description: 'Older checkpoints kept beside the newest' }),
  maxAgeSeconds: Type.Optional(Type.Integer({ minimum: 0, description: 'Absent: of any age' })),
})
export const Checkpoint = Type.Object({
  checkpointID: Type.String(),
  parentID: Nullable(Type.String({ description: 'What it came from' })),
  createdAt: Type.String(),
  why: Type.String({ description: 'pause, auto-pause, snapshot or checkpoint' }),
  memory: Type.Boolean({ description: 'false: only the file system' }),
  sizeBytes: Type.Integer(),
  isHead: Type.Boolean({ description: 'The sandbox descends from it directly' }),
  names: Type.Array(Type.String({ description: 'Snapshots that are this checkpoint' })),
})
export type Checkpoint = Type.Static<typeof Checkpoint>
export const SandboxTree = Type.Object({
  sandboxID: Type.String(),
  keep: KeepPolicy,
  checkpoints: Type.Array(Checkpoint),
})
const Paths = Type.Array(Type.String({ description: 'Absolute path' }))
export const SandboxDiff = Type.Object({
  from: Type.String(),
  to: Type.String(),
  added: Paths,
  changed: Paths,
  deleted: Paths,
  isTruncated: Type.Boolean({ description: 'There are more than the 10 000 of each that are listed' }),
})
export const StorageUsage = Type.Object({
  checkpoints: Type.Integer(),
  uploads: Type.Integer({ description: 'Archives for COPY steps' }),
  uploadBytes: Type.Integer({ description: 'What they take' }),
  sizeBytes: Type.Integer({ description: 'Checkpoints as they were written, and archives' }),
  storedBytes: Type.Integer({ description: 'What packed copies of the checkpoints take, each chunk once' }),
  sharedBytes: Type.Integer({ description: 'Of these, what checkpoints of others use too' }),
  limitBytes: Nullable(Type.Integer({ description: "The plan's limit for sizeBytes; null: none" })),
})
export const CollectGarbage = Type.Object({ isDryRun: Defaulted(Type.Boolean({ default: false })) })
export const GarbageReport = Type.Object({
  chunks: Type.Integer({ description: 'Deleted, or to be deleted' }),
  bytes: Type.Integer(),
  keptChunks: Type.Integer(),
  keptBytes: Type.Integer(),
})
export const SetTimeout = Type.Object({ timeout: Timeout() })
export const Refresh = Type.Object({ duration: Type.Optional(Type.Integer({ minimum: 0, maximum: 3600 })) })

export const Sandbox = Type.Object(
  {
    templateID: Type.String(),
    sandboxID: Type.String(),
    clientID: Type.String({ description: 'Deprecated' }),
    envdVersion: Type.String(),
    alias: Type.Optional(Type.String()),
    envdAccessToken: Type.Optional(Type.String()),
    trafficAccessToken: Type.Optional(Nullable(Type.String())),
    domain: Type.Optional(Nullable(Type.String())),
  },
  { description: 'What a client needs to talk to a sandbox' },
)
export type Sandbox = Type.Static<typeof Sandbox>

const listedProperties = {
  templateID: Type.String(),
  alias: Type.Optional(Type.String()),
  sandboxID: Type.String(),
  clientID: Type.String(),
  startedAt: Type.String(),
  endAt: Type.String(),
  cpuCount: Type.Integer(),
  memoryMB: Type.Integer(),
  diskSizeMB: Type.Integer(),
  metadata: Type.Optional(StringMap()),
  state: Type.Union([Type.Literal('running'), Type.Literal('paused')]),
  envdVersion: Type.String(),
  envdUnresponsiveAtPause: Type.Optional(
    Type.Boolean({ description: 'Paused while envd did not answer: resume it with memory false' }),
  ),
}
export const ListedSandbox = Type.Object(listedProperties)
export type ListedSandbox = Type.Static<typeof ListedSandbox>
export const SandboxDetail = Type.Object({
  ...listedProperties,
  envdAccessToken: Type.Optional(Type.String()),
  allowInternetAccess: Type.Optional(Nullable(Type.Boolean())),
  domain: Type.Optional(Nullable(Type.String())),
  network: Type.Optional(NetworkConfig),
  pauseMode: Type.Optional(
    Type.Union([Type.Literal('full'), Type.Literal('filesystem')], {
      description: 'What its pause saved; absent while it runs or is being paused',
    }),
  ),
  lifecycle: Type.Optional(
    Type.Object({
      autoResume: Type.Boolean(),
      onTimeout: Type.Union([Type.Literal('kill'), Type.Literal('pause')]),
    }),
  ),
})
export type SandboxDetail = Type.Static<typeof SandboxDetail>

export const SandboxMetric = Type.Object({
  timestamp: Type.String(),
  timestampUnix: Type.Integer(),
  cpuCount: Type.Integer(),
  cpuUsedPct: Type.Number(),
  memUsed: Type.Integer(),
  memTotal: Type.Integer(),
  memCache: Type.Integer(),
  diskUsed: Type.Integer(),
  diskTotal: Type.Integer(),
})
export type SandboxMetric = Type.Static<typeof SandboxMetric>

export const SandboxLog = Type.Object({ timestamp: Type.String(), line: Type.String() })
export const SandboxLogEntry = Type.Object({
  timestamp: Type.String(),
  message: Type.String(),
  level: Type.String(),
  fields: StringMap(),
})
export type SandboxLogEntry = Type.Static<typeof SandboxLogEntry>

const teamApiKeyProperties = {
  id: Type.String(),
  name: Type.String(),
  mask: Type.Object({
    prefix: Type.String(),
    valueLength: Type.Integer(),
    maskedValuePrefix: Type.String(),
    maskedValueSuffix: Type.String(),
  }),
  createdAt: Type.String(),
  lastUsed: Type.Optional(Nullable(Type.String())),
}
export const TeamApiKey = Type.Object(teamApiKeyProperties)
export const CreatedTeamApiKey = Type.Object({ ...teamApiKeyProperties, key: Type.String() })

const accessTokenProperties = {
  id: Type.String(),
  name: Type.String(),
  createdAt: Type.String(),
  expiresAt: Type.String(),
}
export const AccessToken = Type.Object(accessTokenProperties)
export const CreatedAccessToken = Type.Object({
  ...accessTokenProperties,
  token: Type.String({ description: 'Shown this once' }),
})

const BuildStatus = Type.Union(
  [Type.Literal('building'), Type.Literal('waiting'), Type.Literal('ready'), Type.Literal('error')],
  { description: 'State of the newest build' },
)
const templateProperties = {
  templateID: Type.String(),
  buildID: Type.String({ description: 'What a create starts from' }),
  cpuCount: Type.Integer(),
  memoryMB: Type.Integer(),
  diskSizeMB: Type.Integer(),
  public: Type.Boolean(),
  aliases: Type.Array(Type.String()),
  names: Type.Array(Type.String({ description: 'namespace/name' })),
  createdAt: Type.String(),
  updatedAt: Type.String(),
  createdBy: Type.Null(),
  lastSpawnedAt: Nullable(Type.String()),
  spawnCount: Type.Integer(),
  buildCount: Type.Integer(),
  envdVersion: Type.String(),
  buildStatus: BuildStatus,
  isDefault: Type.Boolean({
    description: 'It comes with this server; how often others use it is not told (0, null)',
  }),
  description: Type.Optional(Type.String()),
}
export const Template = Type.Object(templateProperties)
export type Template = Type.Static<typeof Template>
export const TemplateBuild = Type.Object({
  buildID: Type.String(),
  status: BuildStatus,
  createdAt: Type.String(),
  updatedAt: Type.String(),
  finishedAt: Type.Optional(Type.String()),
  cpuCount: Type.Integer(),
  memoryMB: Type.Integer(),
  diskSizeMB: Type.Optional(Type.Integer()),
  envdVersion: Type.Optional(Type.String()),
})
export type TemplateBuild = Type.Static<typeof TemplateBuild>
export const TemplateWithBuilds = Type.Object({ ...templateProperties, builds: Type.Array(TemplateBuild) })

export const TemplateTag = Type.Object({
  tag: Type.String(),
  buildID: Type.String(),
  createdAt: Type.String(),
})
export const TagAssignment = Type.Object({
  assignmentId: Type.String(),
  buildId: Type.String(),
  assignedAt: Type.String(),
  buildCreatedAt: Type.String(),
  buildFinishedAt: Nullable(Type.String()),
})
export type TagAssignment = Type.Static<typeof TagAssignment>
export const TagAssignments = Type.Object({
  data: Type.Array(TagAssignment),
  nextCursor: Nullable(Type.String()),
})
export const TagGroups = Type.Object({
  tags: Type.Array(
    Type.Object({
      tag: Type.String(),
      assignments: Type.Array(TagAssignment),
      hasMore: Type.Boolean({ description: 'There are more than assignmentLimit' }),
    }),
  ),
  nextCursor: Nullable(Type.String({ description: 'The tagsCursor of the next page' })),
})
