import Type from 'typebox'
import { OneOf, Time } from './fields.ts'
import type { Operation } from './operation.ts'

const VolumeId = Type.Object({
  volumeID: Type.String({ maxLength: 64, description: '`vol` and 17 letters and digits' }),
})

const size = (description: string) => Type.Integer({ minimum: 1, description })

const volumeProperties = {
  volumeID: Type.String(),
  name: Type.String({ description: 'Unique within the team' }),
  sizeMB: Type.Integer({ description: 'Size of the file system of the volume' }),
  createdAt: Time(),
  snapshotOf: Type.Optional(
    Type.String({ description: 'Id of the volume that this is a snapshot of: its files stay as they are' }),
  ),
}

const Volume = Type.Object(volumeProperties, { title: 'Volume' })

const VolumeAndToken = Type.Object(
  {
    ...volumeProperties,
    token: Type.String({
      description: 'Bearer token for the files of this volume; it expires after 24 hours',
    }),
    domain: Type.Optional(Type.String({ description: 'Domain of the content API, `api.<domain>`' })),
    usedMB: Type.Optional(
      Type.Integer({ description: 'Disk that the files take. Absent where the file system does not tell' }),
    ),
    isSizeLimited: Type.Optional(
      Type.Boolean({
        description:
          'Whether writes beyond `sizeMB` fail. False for volumes that are folders of a larger file system',
      }),
    ),
    copied: Type.Optional(
      OneOf(['reflink', 'copy'], {
        description:
          'How the files of `from` were copied: `reflink` shares blocks and takes no disk, `copy` takes time and disk',
      }),
    ),
  },
  { title: 'VolumeAndToken' },
)

const DeletedVolume = Type.Object(
  {
    ...volumeProperties,
    deletedAt: Time(),
    removedAt: Time('From then on it cannot be restored'),
  },
  { title: 'DeletedVolume' },
)

const NewVolume = Type.Object(
  {
    name: Type.String({ description: '1 to 128 letters, digits, `-` and `_`' }),
    sizeMB: Type.Optional(size('Default: 10240, or the size of `from`')),
    from: Type.Optional(
      Type.String({
        maxLength: 64,
        description:
          'Id of a volume whose files are copied, as they are at one moment: programs that write to it wait until the copy is made',
      }),
    ),
    snapshot: Type.Optional(
      Type.Boolean({
        description:
          'Makes a snapshot of `from`: a volume whose files nobody can change, and that sandboxes mount read-only. Default false',
      }),
    ),
  },
  { title: 'NewVolume' },
)

export const listVolumes = {
  operationId: 'listVolumes',
  tags: ['volumes'],
  summary: 'List the volumes of the team',
  response: { 200: Type.Array(Volume) },
  errors: ['store_unavailable'],
} satisfies Operation

export const createVolume = {
  operationId: 'createVolume',
  tags: ['volumes'],
  summary: 'Create a volume, empty or with the files of another',
  body: NewVolume,
  response: { 201: VolumeAndToken },
  errors: ['not_found', 'conflict', 'quota_exceeded', 'volume_unavailable', 'store_unavailable', 'disk_full'],
} satisfies Operation

export const getVolume = {
  operationId: 'getVolume',
  tags: ['volumes'],
  summary: 'Describe a volume, with a new token for its files',
  params: VolumeId,
  response: { 200: VolumeAndToken },
  errors: ['not_found', 'store_unavailable'],
} satisfies Operation

export const updateVolume = {
  operationId: 'updateVolume',
  tags: ['volumes'],
  summary: 'Enlarge a volume',
  params: VolumeId,
  body: Type.Object({ sizeMB: size('At least the present size') }, { title: 'VolumeUpdate' }),
  response: { 200: VolumeAndToken },
  errors: ['not_found', 'conflict', 'quota_exceeded', 'volume_unavailable', 'store_unavailable', 'disk_full'],
} satisfies Operation

export const deleteVolume = {
  operationId: 'deleteVolume',
  tags: ['volumes'],
  summary: 'Delete a volume; it can be restored for a day',
  params: VolumeId,
  querystring: Type.Object({
    now: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Deletes it for good, also one that was deleted before: it cannot be restored',
      }),
    ),
  }),
  response: { 204: Type.Null() },
  errors: ['not_found', 'conflict', 'store_unavailable'],
} satisfies Operation

export const listDeletedVolumes = {
  operationId: 'listDeletedVolumes',
  tags: ['volumes'],
  summary: 'List the deleted volumes that can be restored',
  response: { 200: Type.Array(DeletedVolume) },
  errors: ['store_unavailable'],
} satisfies Operation

export const restoreVolume = {
  operationId: 'restoreVolume',
  tags: ['volumes'],
  summary: 'Restore a deleted volume',
  params: VolumeId,
  response: { 200: VolumeAndToken },
  errors: ['not_found', 'conflict', 'store_unavailable'],
} satisfies Operation
