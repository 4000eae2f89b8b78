import Type from 'typebox'
import { Nullable, NullableString, NullableTime, OneOf, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { NEXT_TOKEN_HEADER, Page } from './pages.ts'
import { CPUCount, DiskSizeMB, EnvdVersion, MemoryMB } from './sandboxes.ts'

export const TemplateRef = Type.Object({
  templateID: Type.String({ maxLength: 256, description: 'Id, name or namespace/name of a template' }),
})

export const TemplateBuildStatus = OneOf(['building', 'waiting', 'ready', 'error'], {
  title: 'TemplateBuildStatus',
  description: 'waiting: announced, or in the queue',
})

const TeamUser = Type.Object(
  { id: Type.String(), email: NullableString() },
  { title: 'TeamUser', description: 'Creator; always null, as teams have no users yet' },
)

const templateProperties = {
  templateID: Type.String(),
  buildID: Type.String({
    description: 'Build that a create without a tag starts from; empty: no build is ready',
  }),
  cpuCount: CPUCount,
  memoryMB: MemoryMB,
  diskSizeMB: DiskSizeMB,
  public: Type.Boolean({ description: 'true: other teams may start sandboxes from it' }),
  aliases: Type.Array(Type.String(), { deprecated: true, description: 'Names without the namespace' }),
  names: Type.Array(Type.String(), { description: '<namespace>/<name>' }),
  createdAt: Time(),
  updatedAt: Time(),
  createdBy: Nullable(TeamUser),
  lastSpawnedAt: NullableTime('Time of the last create; null: there was none'),
  spawnCount: Type.Integer({ description: 'Number of sandboxes that were created from it' }),
  buildCount: Type.Integer(),
  envdVersion: EnvdVersion,
  buildStatus: TemplateBuildStatus,
  isDefault: Type.Boolean({
    description: 'It comes with this server. Other teams do not see how often it is used (0, null)',
  }),
  description: Type.Optional(Type.String({ description: 'Set for templates that come with this server' })),
}
export const Template = Type.Object(templateProperties, { title: 'Template' })
export type Template = Type.Static<typeof Template>

export const TemplateBuild = Type.Object(
  {
    buildID: Type.String(),
    status: TemplateBuildStatus,
    createdAt: Time(),
    updatedAt: Time(),
    finishedAt: Type.Optional(Time()),
    cpuCount: CPUCount,
    memoryMB: MemoryMB,
    diskSizeMB: Type.Optional(DiskSizeMB),
    envdVersion: Type.Optional(EnvdVersion),
  },
  { title: 'TemplateBuild' },
)
export type TemplateBuild = Type.Static<typeof TemplateBuild>

const TemplateWithBuilds = Type.Object(
  {
    ...templateProperties,
    builds: Type.Array(TemplateBuild, { description: 'One page of builds, newest first' }),
  },
  { title: 'TemplateWithBuilds' },
)
const TemplateAliasResponse = Type.Object(
  { templateID: Type.String(), public: Type.Boolean() },
  { title: 'TemplateAliasResponse' },
)
const TemplateUpdateRequest = Type.Object(
  { public: Type.Optional(Type.Boolean({ description: 'Default: unchanged' })) },
  { title: 'TemplateUpdateRequest' },
)
const TemplateUpdateResponse = Type.Object(
  { names: Type.Array(Type.String(), { description: '<namespace>/<name>' }) },
  { title: 'TemplateUpdateResponse' },
)

/** A `teamID` parameter. */
export const TeamId = Type.Optional(
  Type.String({
    maxLength: 100,
    description: "UUID or project id (prj_…) of the caller's team, which is also the default",
  }),
)

export const listTemplates = {
  operationId: 'listTemplates',
  tags: ['templates'],
  summary: 'List templates that sandboxes can start from in one answer, at most 5000',
  deprecated: true,
  querystring: Type.Object({ teamID: TeamId }),
  response: { 200: Type.Array(Template) },
  errors: [],
} satisfies Operation

export const listTemplatesV2 = {
  operationId: 'listTemplatesV2',
  tags: ['templates'],
  summary: 'List templates that sandboxes can start from, newest first',
  querystring: Type.Object({ teamID: TeamId, ...Page }),
  response: { 200: Type.Array(Template, { headers: NEXT_TOKEN_HEADER }) },
  errors: [],
} satisfies Operation

export const listDefaultTemplates = {
  operationId: 'listDefaultTemplates',
  tags: ['templates'],
  summary: 'List all templates that come with this server, whether ready or not, in the order of their ids',
  response: { 200: Type.Array(Template) },
  errors: [],
} satisfies Operation

export const findTemplateByAlias = {
  operationId: 'findTemplateByAlias',
  tags: ['templates'],
  summary: 'Check whether a template of this name exists',
  params: Type.Object({
    alias: Type.String({ maxLength: 256, description: 'Name or namespace/name, with or without :tag' }),
  }),
  response: { 200: TemplateAliasResponse },
  errors: ['not_found'],
} satisfies Operation

export const getTemplate = {
  operationId: 'getTemplate',
  tags: ['templates'],
  summary: 'Describe a template and list its builds',
  params: TemplateRef,
  querystring: Type.Object(Page),
  response: {
    200: Type.Object(TemplateWithBuilds.properties, {
      title: 'TemplateWithBuilds',
      headers: NEXT_TOKEN_HEADER,
    }),
  },
  errors: ['not_found'],
} satisfies Operation

export const deleteTemplate = {
  operationId: 'deleteTemplate',
  tags: ['templates'],
  summary: 'Delete a template or a snapshot, unless sandboxes that started from it exist',
  params: TemplateRef,
  response: { 204: Type.Null() },
  errors: ['not_found', 'conflict'],
} satisfies Operation

export const updateTemplateV2 = {
  operationId: 'updateTemplateV2',
  tags: ['templates'],
  summary: 'Let other teams start from a template, or stop letting them',
  params: TemplateRef,
  body: TemplateUpdateRequest,
  response: { 200: TemplateUpdateResponse },
  errors: ['not_found'],
} satisfies Operation

export const updateTemplate = {
  operationId: 'updateTemplate',
  tags: ['templates'],
  summary: 'Let other teams start from a template, or stop letting them (old clients)',
  deprecated: true,
  params: TemplateRef,
  body: TemplateUpdateRequest,
  response: { 200: Type.Object({}, { title: 'Empty', description: 'An object without fields' }) },
  errors: ['not_found'],
} satisfies Operation
