import Type from 'typebox'
import {
  AnyObject,
  CommaSeparated,
  Defaulted,
  MapOf,
  Nullable,
  NullableBoolean,
  NullableString,
  OneOf,
  StringMap,
  Time,
} from './fields.ts'
import { IDEMPOTENCY_ERRORS, IdempotencyHeaders } from './idempotency.ts'
import { SandboxNetworkConfig, SandboxNetworkUpdateConfig } from './network.ts'
import type { Operation } from './operation.ts'
import { NEXT_TOKEN_HEADER, Page } from './pages.ts'

/** Longest time to live that a request may ask for, in seconds: a signed 32-bit integer. */
const MAX_TIMEOUT_SECONDS = 2 ** 31 - 1

/** A `timeout` field. */
export const Timeout = (options: Type.TNumberOptions = {}) =>
  Type.Integer({
    minimum: 0,
    maximum: MAX_TIMEOUT_SECONDS,
    description: 'Seconds to live, from now',
    ...options,
  })

export const SandboxId = Type.Object({
  sandboxID: Type.String({
    description: 'Id of the sandbox; <sandboxID>-<clientID> of old clients works too',
  }),
})

/** Errors of every operation on a sandbox that exists. */
export const SANDBOX_ERRORS = ['not_found', 'conflict'] as const

export const CPUCount = Type.Integer({ title: 'CPUCount', description: 'Virtual CPUs' })
export const MemoryMB = Type.Integer({ title: 'MemoryMB', description: 'Memory in MiB' })
export const DiskSizeMB = Type.Integer({ title: 'DiskSizeMB', description: 'Disk in MiB' })
export const EnvdVersion = Type.String({
  title: 'EnvdVersion',
  description: 'Version of envd, the agent inside sandboxes',
})

const SandboxMetadata = StringMap({
  title: 'SandboxMetadata',
  description: 'Labels of the sandbox, which the metadata filter of the list finds',
})
const EnvVars = StringMap({ title: 'EnvVars', description: 'Environment of every process in the sandbox' })
const SandboxState = OneOf(['running', 'paused'], { title: 'SandboxState' })
const Mcp = Type.Union(
  [AnyObject({ description: 'Servers of the MCP gateway by name, each with its own settings' }), Type.Null()],
  { title: 'Mcp' },
)
export const SandboxVolumeMount = Type.Object(
  {
    name: Type.String({ maxLength: 128, description: 'Name of the volume' }),
    path: Type.String({ maxLength: 4096, description: 'Absolute path in the sandbox' }),
    readOnly: Type.Optional(Type.Boolean({ description: 'Default false; snapshots are always read-only' })),
  },
  { title: 'SandboxVolumeMount' },
)
const SandboxIamToken = Type.Object(
  {
    // required so that generated types match E2B's; validation fills in the default, which is then refused by name
    audience: Type.String({ default: '', description: 'Who the token is for, the claim aud' }),
    tokenType: Type.String({ default: '', description: 'JWT-SVID' }),
  },
  { title: 'SandboxIamToken' },
)
const SandboxIamTokens = MapOf(SandboxIamToken, { title: 'SandboxIamTokens' })
const SandboxIam = Type.Object({ tokens: Type.Optional(SandboxIamTokens) }, { title: 'SandboxIam' })
export type SandboxIam = Type.Static<typeof SandboxIam>
const SandboxAutoResumeConfig = Type.Object(
  {
    // required so that generated types match E2B's; validation fills in the default before it checks
    enabled: Type.Boolean({ default: false, description: 'true: traffic to the paused sandbox resumes it' }),
  },
  { title: 'SandboxAutoResumeConfig' },
)
const SandboxLifecycle = Type.Object(
  {
    autoResume: Type.Boolean({ description: 'Traffic to the paused sandbox resumes it' }),
    onTimeout: OneOf(['kill', 'pause'], {
      title: 'SandboxOnTimeout',
      description: "What happens at the end of the sandbox's time",
    }),
  },
  { title: 'SandboxLifecycle' },
)

const newSandboxProperties = {
  templateID: Type.String({
    minLength: 1,
    maxLength: 256,
    description: 'Id, name or namespace/name of a template; with :tag or :<build id>',
  }),
  autoPause: Type.Optional(
    Type.Boolean({
      default: false,
      description: 'Pause the sandbox at the end of its time instead of killing it',
    }),
  ),
  autoPauseMemory: Type.Optional(
    Type.Boolean({
      default: true,
      description: 'false: the pause at the end of its time keeps only the file system',
    }),
  ),
  autoResume: Type.Optional(SandboxAutoResumeConfig),
  allow_internet_access: Type.Optional(
    NullableBoolean({ description: 'false: the sandbox reaches nothing outside. Default true' }),
  ),
  network: Type.Optional(Nullable(SandboxNetworkConfig)),
  metadata: Type.Optional(SandboxMetadata),
  envVars: Type.Optional(EnvVars),
  mcp: Type.Optional(Mcp),
  iam: Type.Optional(Nullable(SandboxIam)),
  volumeMounts: Type.Optional(
    Type.Array(SandboxVolumeMount, {
      maxItems: 64,
      description: 'Volumes to mount; at most 16',
    }),
  ),
}

export const NewSandbox = Type.Object(
  {
    ...newSandboxProperties,
    timeout: Defaulted(Timeout({ default: 15 })),
    secure: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'true: envd requires the access token of the response. false: anyone who knows the id can use the sandbox',
      }),
    ),
  },
  { title: 'NewSandbox' },
)
export const NewSandboxV2 = Type.Object(
  { ...newSandboxProperties, timeout: Defaulted(Timeout({ minimum: 1, default: 300 })) },
  { title: 'NewSandboxV2' },
)
export type NewSandbox = Type.Static<typeof NewSandbox>

/** Additive: E2B's clients ignore the field. */
const Warnings = Type.Optional(
  Type.Array(Type.String(), {
    description:
      'What is accepted but probably not meant, e.g. network rules for a domain that is not allowed',
  }),
)

export const Sandbox = Type.Object(
  {
    templateID: Type.String(),
    sandboxID: Type.String(),
    clientID: Type.String({ deprecated: true, description: 'A constant, equal for all sandboxes' }),
    envdVersion: EnvdVersion,
    alias: Type.Optional(Type.String({ description: 'Name of the template, or its id' })),
    envdAccessToken: Type.Optional(
      Type.String({
        description: 'Value of the header X-Access-Token for requests to envd; absent: none is required',
      }),
    ),
    trafficAccessToken: Type.Optional(
      NullableString({
        description:
          'Value of the header e2b-traffic-access-token for requests to other ports; null: none is required',
      }),
    ),
    domain: Type.Optional(
      NullableString({
        description: "Domain of the sandbox's host names: <port>-<sandboxID>.<domain>",
      }),
    ),
    warnings: Warnings,
  },
  { title: 'Sandbox', description: 'What a client needs to talk to a sandbox' },
)
export type Sandbox = Type.Static<typeof Sandbox>

const listedProperties = {
  templateID: Type.String(),
  alias: Type.Optional(Type.String({ description: 'Name of the template, or its id' })),
  sandboxID: Type.String(),
  clientID: Type.String({ deprecated: true }),
  startedAt: Time('Start of the sandbox, or its last resume'),
  endAt: Time('End of its time'),
  cpuCount: CPUCount,
  memoryMB: MemoryMB,
  diskSizeMB: DiskSizeMB,
  metadata: Type.Optional(SandboxMetadata),
  state: SandboxState,
  envdVersion: EnvdVersion,
  volumeMounts: Type.Optional(Type.Array(SandboxVolumeMount)),
  envdUnresponsiveAtPause: Type.Optional(
    Type.Boolean({
      description: 'true: envd did not answer when the sandbox was paused; resume it with memory false',
    }),
  ),
}
export const ListedSandbox = Type.Object(listedProperties, { title: 'ListedSandbox' })
export type ListedSandbox = Type.Static<typeof ListedSandbox>
export const SandboxDetail = Type.Object(
  {
    ...listedProperties,
    envdAccessToken: Type.Optional(Type.String({ description: 'As in Sandbox' })),
    allowInternetAccess: Type.Optional(NullableBoolean({ description: 'null: not set at the create' })),
    domain: Type.Optional(NullableString({ description: 'As in Sandbox' })),
    network: Type.Optional(SandboxNetworkConfig),
    warnings: Warnings,
    pauseMode: Type.Optional(
      OneOf(['full', 'filesystem'], {
        description: 'What the pause kept; absent while the sandbox runs or is being paused',
      }),
    ),
    lifecycle: Type.Optional(SandboxLifecycle),
  },
  { title: 'SandboxDetail' },
)
export type SandboxDetail = Type.Static<typeof SandboxDetail>

const SandboxTimeoutRequest = Type.Object({ timeout: Timeout() }, { title: 'SandboxTimeoutRequest' })
const SandboxRefreshRequest = Type.Object(
  {
    duration: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3600,
        description: 'Seconds to live, from now. Default: the timeout that the sandbox was created with',
      }),
    ),
  },
  { title: 'SandboxRefreshRequest' },
)

const CREATE_ERRORS = [
  'not_found',
  'conflict',
  ...IDEMPOTENCY_ERRORS,
  'quota_exceeded',
  'not_implemented',
  'sandbox_create_failed',
  'sandbox_capacity_unavailable',
  'firewall_unavailable',
  'server_draining',
  'operation_timeout',
  'disk_full',
] as const

export const createSandbox = {
  operationId: 'createSandbox',
  tags: ['sandboxes'],
  summary: 'Create a sandbox',
  deprecated: true,
  description: 'For clients up to 2.45; newer ones use POST /v2/sandboxes.',
  headers: IdempotencyHeaders,
  body: NewSandbox,
  response: { 201: Sandbox },
  errors: CREATE_ERRORS,
} satisfies Operation

export const createSandboxV2 = {
  operationId: 'createSandboxV2',
  tags: ['sandboxes'],
  summary: 'Create a sandbox whose envd requires an access token',
  headers: IdempotencyHeaders,
  body: NewSandboxV2,
  response: { 201: Sandbox },
  errors: CREATE_ERRORS,
} satisfies Operation

const MetadataFilter = Type.Optional(
  Type.String({
    maxLength: 8192,
    description: 'key=value&key2=value2, each part percent-encoded; a sandbox must have them all',
  }),
)

export const listSandboxes = {
  operationId: 'listSandboxes',
  tags: ['sandboxes'],
  summary: 'List sandboxes, newest first',
  querystring: Type.Object({
    metadata: MetadataFilter,
    state: Type.Optional(
      CommaSeparated(SandboxState, { maxLength: 64, description: 'running, paused or both. Default both' }),
    ),
    order: Type.Optional(
      OneOf(['asc', 'desc'], {
        title: 'OrderDirection',
        description: 'Order by start time. Default desc',
      }),
    ),
    startedAfter: Type.Optional(
      Type.String({ format: 'date-time', description: 'Only sandboxes that started then or later' }),
    ),
    template: Type.Optional(Type.String({ maxLength: 256, description: 'Id or name of a template' })),
    ...Page,
  }),
  response: {
    200: Type.Array(ListedSandbox, {
      headers: {
        ...NEXT_TOKEN_HEADER,
        'X-Total-Running': {
          type: 'integer',
          description:
            'Number of running sandboxes that match the filters, on all pages; absent when the states exclude running',
        },
      },
    }),
  },
  errors: [],
} satisfies Operation

export const listRunningSandboxes = {
  operationId: 'listRunningSandboxes',
  tags: ['sandboxes'],
  summary: 'List running sandboxes in one answer, at most 5000',
  deprecated: true,
  querystring: Type.Object({ metadata: MetadataFilter }),
  response: { 200: Type.Array(ListedSandbox) },
  errors: [],
} satisfies Operation

export const getSandbox = {
  operationId: 'getSandbox',
  tags: ['sandboxes'],
  summary: 'Describe a sandbox',
  params: SandboxId,
  response: { 200: SandboxDetail },
  errors: SANDBOX_ERRORS,
} satisfies Operation

export const killSandbox = {
  operationId: 'killSandbox',
  tags: ['sandboxes'],
  summary: 'Kill a sandbox and delete its checkpoints, except for snapshots',
  params: SandboxId,
  response: { 204: Type.Null() },
  errors: SANDBOX_ERRORS,
} satisfies Operation

export const setSandboxTimeout = {
  operationId: 'setSandboxTimeout',
  tags: ['sandboxes'],
  summary: 'Set how long a sandbox lives from now; this may shorten its time',
  params: SandboxId,
  body: SandboxTimeoutRequest,
  response: { 204: Type.Null() },
  errors: SANDBOX_ERRORS,
} satisfies Operation

export const refreshSandbox = {
  operationId: 'refreshSandbox',
  tags: ['sandboxes'],
  summary: 'Extend the time of a sandbox; this never shortens it',
  params: SandboxId,
  body: SandboxRefreshRequest,
  response: { 204: Type.Null() },
  errors: SANDBOX_ERRORS,
} satisfies Operation

export const updateSandboxNetwork = {
  operationId: 'updateSandboxNetwork',
  tags: ['sandboxes'],
  summary: 'Replace the rules for outgoing connections of a running sandbox',
  description:
    'Atomic, and for new connections: open ones live on unless closeExisting is true. allowPublicTraffic, maskRequestHost and httpsPorts stay as the create set them.',
  params: SandboxId,
  body: SandboxNetworkUpdateConfig,
  response: { 204: Type.Null() },
  errors: [...SANDBOX_ERRORS, 'firewall_unavailable'],
} satisfies Operation
