import Type from 'typebox'
import { NullableString, NullableTime, OneOf, Time } from './fields.ts'
import type { Operation } from './operation.ts'
import { TemplateRef } from './templates.ts'

const TagList = Type.Array(Type.String({ maxLength: 128 }), { minItems: 1, maxItems: 100 })

const AssignTemplateTagsRequest = Type.Object(
  {
    target: Type.String({ maxLength: 256, description: 'name:tag of the build that gets the tags' }),
    tags: TagList,
  },
  { title: 'AssignTemplateTagsRequest' },
)
const AssignedTemplateTags = Type.Object(
  { tags: Type.Array(Type.String()), buildID: Type.String() },
  { title: 'AssignedTemplateTags' },
)
const DeleteTemplateTagsRequest = Type.Object(
  {
    name: Type.String({ maxLength: 256, description: 'Name of the template, without a tag' }),
    tags: TagList,
  },
  { title: 'DeleteTemplateTagsRequest' },
)
const TemplateTag = Type.Object(
  { tag: Type.String(), buildID: Type.String(), createdAt: Time('When the tag was given to the build') },
  { title: 'TemplateTag' },
)
export const TemplateTagAssignment = Type.Object(
  {
    assignmentId: Type.String(),
    buildId: Type.String(),
    assignedAt: Time(),
    buildCreatedAt: Time(),
    buildFinishedAt: NullableTime('null: not finished'),
  },
  { title: 'TemplateTagAssignment', description: 'A build that a tag was given to, and when' },
)
export type TemplateTagAssignment = Type.Static<typeof TemplateTagAssignment>
const NextCursor = NullableString({ description: 'Cursor of the next page; null on the last page' })
const TemplateTagAssignments = Type.Object(
  { data: Type.Array(TemplateTagAssignment, { description: 'Newest first' }), nextCursor: NextCursor },
  { title: 'TemplateTagAssignments' },
)
const TemplateTagGroup = Type.Object(
  {
    tag: Type.String(),
    assignments: Type.Array(TemplateTagAssignment, { description: 'Newest first' }),
    hasMore: Type.Boolean({ description: 'true: more builds exist than assignmentLimit' }),
  },
  { title: 'TemplateTagGroup' },
)
const TemplateTagGroups = Type.Object(
  { tags: Type.Array(TemplateTagGroup), nextCursor: NextCursor },
  { title: 'TemplateTagGroups' },
)
const TemplateTagCount = Type.Object({ total: Type.Integer() }, { title: 'TemplateTagCount' })
const TemplateTagExists = Type.Object(
  {
    exists: Type.Boolean(),
    normalizedTag: Type.String({ description: 'The tag as it is stored: trimmed, in lower case' }),
  },
  { title: 'TemplateTagExists' },
)

const Cursor = Type.Optional(
  Type.String({ maxLength: 1024, description: 'nextCursor of the previous page. Default: the first page' }),
)
const Limit = (maximum: number, byDefault: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 1, maximum, default: byDefault, description }))

export const assignTags = {
  operationId: 'assignTags',
  tags: ['templates'],
  summary: 'Give more tags to a build that has one',
  body: AssignTemplateTagsRequest,
  response: { 201: AssignedTemplateTags },
  errors: ['not_found'],
} satisfies Operation

export const deleteTags = {
  operationId: 'deleteTags',
  tags: ['templates'],
  summary: 'Remove tags; the builds stay',
  body: DeleteTemplateTagsRequest,
  response: { 204: Type.Null() },
  errors: ['not_found'],
} satisfies Operation

export const listTags = {
  operationId: 'listTags',
  tags: ['templates'],
  summary: 'List the tags of a template',
  params: TemplateRef,
  response: { 200: Type.Array(TemplateTag) },
  errors: ['not_found'],
} satisfies Operation

export const countTags = {
  operationId: 'countTags',
  tags: ['templates'],
  summary: 'Count the tags of a template',
  params: TemplateRef,
  response: { 200: TemplateTagCount },
  errors: ['not_found'],
} satisfies Operation

export const checkTag = {
  operationId: 'checkTag',
  tags: ['templates'],
  summary: 'Check whether a template has a tag',
  params: TemplateRef,
  querystring: Type.Object({ tag: Type.String({ maxLength: 128 }) }),
  response: { 200: TemplateTagExists },
  errors: ['not_found'],
} satisfies Operation

export const listTagGroups = {
  operationId: 'listTagGroups',
  tags: ['templates'],
  summary: 'List the tags of a template, each with the builds that it was given to last',
  params: TemplateRef,
  querystring: Type.Object({
    assignmentLimit: Limit(25, 6, 'Most builds of each tag'),
    tagsLimit: Limit(100, 25, 'Most tags of the page'),
    tagsCursor: Cursor,
    search: Type.Optional(
      Type.String({
        maxLength: 64,
        pattern: '^[a-z0-9._-]*$',
        description: 'Only tags that contain this text',
      }),
    ),
    sort: Type.Optional(
      OneOf(['latest_desc', 'latest_asc', 'name_asc', 'name_desc'], { description: 'Default latest_desc' }),
    ),
  }),
  response: { 200: TemplateTagGroups },
  errors: ['not_found'],
} satisfies Operation

export const listTagAssignments = {
  operationId: 'listTagAssignments',
  tags: ['templates'],
  summary: 'List the builds that a tag was given to, newest first',
  params: Type.Object({ ...TemplateRef.properties, tag: Type.String({ maxLength: 128 }) }),
  querystring: Type.Object({ cursor: Cursor, limit: Limit(100, 50, 'Most builds of the page') }),
  response: { 200: TemplateTagAssignments },
  errors: ['not_found'],
} satisfies Operation
