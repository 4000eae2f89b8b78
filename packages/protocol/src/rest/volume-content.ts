import Type from 'typebox'
import { OneOf, Time } from './fields.ts'
import type { Operation } from './operation.ts'

const VolumeId = Type.Object({ volumeID: Type.String({ maxLength: 64 }) })

const path = Type.String({
  description:
    'Path from the root of the volume. Bytes that are not UTF-8 are percent-encoded. Links are resolved inside the volume',
})
const Path = Type.Object({ path })

const attributes = {
  uid: Type.Optional(Type.Integer({ minimum: 0, description: 'Default 0 for a new entry' })),
  gid: Type.Optional(Type.Integer({ minimum: 0, description: 'Default 0 for a new entry' })),
  mode: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: 0o7777,
      description: 'Default 0644, of directories 0755 (in decimal 420, 493)',
    }),
  ),
}

const VolumeEntryStat = Type.Object(
  {
    name: Type.String(),
    type: OneOf(['file', 'directory', 'symlink', 'unknown'], {
      description: '`unknown`: a pipe, a socket or a device, which is never opened',
    }),
    path: Type.String(),
    pathBytes: Type.Optional(Type.String({ description: 'The path in Base64, when it is not UTF-8' })),
    size: Type.Integer({ description: 'Bytes' }),
    mode: Type.Integer(),
    uid: Type.Integer(),
    gid: Type.Integer(),
    atime: Time(),
    mtime: Time(),
    ctime: Time(),
    target: Type.Optional(Type.String({ description: 'What a symbolic link contains' })),
  },
  { title: 'VolumeEntryStat' },
)

/** Errors of the content API: `code` is a word (wire spec 2.6). */
const VolumeContentError = Type.Object(
  { code: Type.String(), message: Type.String() },
  { title: 'VolumeContentError' },
)
const ERRORS = {
  400: VolumeContentError,
  401: VolumeContentError,
  403: VolumeContentError,
  404: VolumeContentError,
  409: VolumeContentError,
  507: VolumeContentError,
  '4xx': VolumeContentError,
  '5xx': VolumeContentError,
}

/** For an operation whose success is not JSON: fastify would take errors for that, too. */
const inJson = { content: { 'application/json': { schema: VolumeContentError } } }
const ERRORS_IN_JSON = {
  ...{ 400: inJson, 401: inJson, 403: inJson, 404: inJson, 409: inJson, 507: inJson },
  ...{ '4xx': inJson, '5xx': inJson },
}

const shared = { tags: ['volumes'] as ['volumes'], security: [] as [], params: VolumeId }

export const statVolumePath = {
  ...shared,
  operationId: 'statVolumePath',
  summary:
    'Describe an entry of a volume; a link is described itself. All these calls need the token of the volume',
  querystring: Path,
  response: { 200: VolumeEntryStat, ...ERRORS },
} satisfies Operation

export const updateVolumePath = {
  ...shared,
  operationId: 'updateVolumePath',
  summary: 'Change owner and permissions of an entry',
  querystring: Path,
  body: Type.Object(attributes, { title: 'VolumeAttributes' }),
  response: { 200: VolumeEntryStat, ...ERRORS },
} satisfies Operation

export const deleteVolumePath = {
  ...shared,
  operationId: 'deleteVolumePath',
  summary: 'Remove an entry with everything below it',
  querystring: Path,
  response: { 204: Type.Null(), ...ERRORS },
} satisfies Operation

export const listVolumeDirectory = {
  ...shared,
  operationId: 'listVolumeDirectory',
  summary: 'List a directory, as a stream: of any size, and in no order',
  querystring: Type.Object({
    path,
    depth: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 64, default: 1, description: 'Levels of directories' }),
    ),
  }),
  response: { 200: Type.Array(VolumeEntryStat), ...ERRORS },
} satisfies Operation

const uploadId = {
  pattern: '^[A-Za-z0-9_-]{16,64}$',
  description: 'Id of an upload that can be continued, chosen by the client',
}

const force = (description: string) => Type.Optional(Type.Boolean({ default: false, description }))

export const makeVolumeDirectory = {
  ...shared,
  operationId: 'makeVolumeDirectory',
  summary: 'Make a directory',
  querystring: Type.Object({
    path,
    ...attributes,
    force: force('Make missing parents, and accept an existing directory'),
  }),
  response: { 201: VolumeEntryStat, ...ERRORS },
} satisfies Operation

export const readVolumeFile = {
  ...shared,
  operationId: 'readVolumeFile',
  summary: 'Read a file, or one range of it',
  description: 'A `Range` with `If-Range: <ETag>` continues a download that broke off.',
  querystring: Path,
  produces: ['application/octet-stream'],
  response: {
    200: Type.Unsafe<unknown>({ type: 'string', format: 'binary' }),
    206: Type.Unsafe<unknown>({ type: 'string', format: 'binary' }),
    ...ERRORS_IN_JSON,
  },
} satisfies Operation

export const getVolumeUpload = {
  ...shared,
  operationId: 'getVolumeUpload',
  summary: 'Ask how much of an upload has arrived; a request that writes to it ends',
  querystring: Type.Object({ upload: Type.String(uploadId) }),
  response: { 200: Type.Object({ bytes: Type.Integer() }, { title: 'VolumeUpload' }), ...ERRORS },
} satisfies Operation

export const writeVolumeFile = {
  ...shared,
  operationId: 'writeVolumeFile',
  summary: 'Write a file, which appears when it is complete',
  querystring: Type.Object({
    path,
    ...attributes,
    force: force('Replace an existing file, and make missing parents'),
    upload: Type.Optional(
      Type.String({
        ...uploadId,
        description: `${uploadId.description}. With offset and size: what arrives stays for a day when the connection breaks`,
      }),
    ),
    offset: Type.Optional(
      Type.Integer({
        minimum: 0,
        description: 'Where the body begins: at the bytes that are there, or at 0',
      }),
    ),
    size: Type.Optional(Type.Integer({ minimum: 0, description: 'Bytes of the whole file' })),
  }),
  response: { 201: VolumeEntryStat, ...ERRORS },
} satisfies Operation
