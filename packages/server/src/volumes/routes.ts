import { toFullMB } from '@sandlot/protocol'
import {
  createVolume,
  deleteVolume,
  getVolume,
  listDeletedVolumes,
  listVolumes,
  restoreVolume,
  updateVolume,
} from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import type { Volume } from './repository.ts'
import type { VolumeService } from './service.ts'
import type { VolumeTokens } from './tokens.ts'

const MiB = 2 ** 20

export interface VolumeRoutesOptions {
  volumes: VolumeService
  volumeTokens: VolumeTokens
}

export function volumeRoutes(app: App, options: VolumeRoutesOptions): void {
  app.get('/volumes', { schema: listVolumes }, list(options))
  app.post('/volumes', { schema: createVolume }, create(options))
  app.get('/volumes/trash', { schema: listDeletedVolumes }, listDeleted(options))
  app.get('/volumes/:volumeID', { schema: getVolume }, get(options))
  app.patch('/volumes/:volumeID', { schema: updateVolume }, update(options))
  app.delete('/volumes/:volumeID', { schema: deleteVolume }, remove(options))
  app.post('/volumes/:volumeID/restore', { schema: restoreVolume }, restore(options))
}

const list =
  ({ volumes }: VolumeRoutesOptions): Handler<typeof listVolumes> =>
  async ({ caller }) =>
    (await volumes.list(caller.team)).map(toAnswer)

const create =
  (options: VolumeRoutesOptions): Handler<typeof createVolume> =>
  async ({ caller, body }, reply) => {
    const { volume, copied } = await options.volumes.create(caller.team, body)
    return reply.code(201).send({ ...(await withToken(options, volume)), copied })
  }

const listDeleted =
  ({ volumes }: VolumeRoutesOptions): Handler<typeof listDeletedVolumes> =>
  async ({ caller }) =>
    (await volumes.listDeleted(caller.team)).map((volume) => ({
      ...toAnswer(volume),
      deletedAt: new Date(volume.deletedAtMs!).toISOString(),
      removedAt: new Date(volume.deletedAtMs! + volumes.trashMs).toISOString(),
    }))

const get =
  (options: VolumeRoutesOptions): Handler<typeof getVolume> =>
  async ({ caller, params }) =>
    withToken(options, await options.volumes.get(caller.team.teamId, params.volumeID))

const update =
  (options: VolumeRoutesOptions): Handler<typeof updateVolume> =>
  async ({ caller, params, body }) =>
    withToken(options, await options.volumes.grow(caller.team, params.volumeID, body.sizeMB))

const remove =
  ({ volumes }: VolumeRoutesOptions): Handler<typeof deleteVolume> =>
  async ({ caller, params, query }, reply) => {
    await volumes.delete(caller.team, params.volumeID, query.now)
    return reply.code(204).send(null)
  }

const restore =
  (options: VolumeRoutesOptions): Handler<typeof restoreVolume> =>
  async ({ caller, params }) =>
    withToken(options, await options.volumes.restore(caller.team, params.volumeID))

async function withToken({ volumes, volumeTokens }: VolumeRoutesOptions, volume: Volume) {
  const { usedBytes, isSizeLimited } = (await volumes.usage(volume)) ?? {}
  return {
    ...toAnswer(volume),
    token: await volumeTokens.sign(volume),
    ...(usedBytes !== undefined && { usedMB: toFullMB(usedBytes) }),
    isSizeLimited,
  }
}

const toAnswer = ({ volumeId, name, sizeBytes, createdAtMs, snapshotOf }: Volume) => ({
  volumeID: volumeId,
  name,
  sizeMB: Math.floor(sizeBytes / MiB),
  createdAt: new Date(createdAtMs).toISOString(),
  snapshotOf,
})
