import Type from 'typebox'
import { StringMap } from './fields.ts'
import type { Operation } from './operation.ts'
import { TemplateRef } from './templates.ts'

const TemplateBuildFileUpload = Type.Object(
  {
    present: Type.Boolean({ description: 'true: the team has already sent these files' }),
    url: Type.Optional(
      Type.String({ description: 'Where to PUT the archive, within an hour and without a credential' }),
    ),
    headers: Type.Optional(StringMap({ description: 'Headers that the PUT must have' })),
  },
  { title: 'TemplateBuildFileUpload' },
)

const UploadRef = Type.Object({
  ...TemplateRef.properties,
  hash: Type.String({
    pattern: '^[0-9a-f]{64}$',
    description: 'SHA-256 of the files of a COPY step, in lower-case hex',
  }),
})

export const findUpload = {
  operationId: 'findUpload',
  tags: ['templates'],
  summary: 'Check whether the files of a COPY step are stored, and get the URL to send them to',
  params: UploadRef,
  response: { 201: TemplateBuildFileUpload },
  errors: ['not_found', 'quota_exceeded'],
} satisfies Operation

export const uploadFiles = {
  operationId: 'uploadFiles',
  tags: ['templates'],
  summary: 'Send the files of a COPY step as a tar archive, plain or compressed with gzip',
  security: [],
  params: UploadRef,
  querystring: Type.Object({
    ticket: Type.String({
      pattern: '^[0-9a-f]{48}$',
      description: 'Last part of the URL that findUpload returns',
    }),
  }),
  response: { 200: Type.Unsafe<undefined>({ type: 'null' }) },
  errors: ['not_found', 'request_timeout', 'payload_too_large', 'quota_exceeded', 'disk_full'],
} satisfies Operation
