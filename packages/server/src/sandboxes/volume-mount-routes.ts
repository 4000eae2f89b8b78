import { mountVolume, unmountVolume } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import { toShownMount } from './answers.ts'
import type { VolumeMounts } from './volume-mounts.ts'

export interface VolumeMountRoutesOptions {
  volumeMounts: VolumeMounts
}

/** Mounts volumes into running sandboxes, and unmounts them. */
export function volumeMountRoutes(app: App, options: VolumeMountRoutesOptions): void {
  app.post('/sandboxes/:sandboxID/volumes', { schema: mountVolume }, mount(options))
  app.delete('/sandboxes/:sandboxID/volumes', { schema: unmountVolume }, unmount(options))
}

const mount =
  ({ volumeMounts }: VolumeMountRoutesOptions): Handler<typeof mountVolume> =>
  async ({ caller, params, body }, reply) => {
    const mounted = await volumeMounts.mount(caller.team, params.sandboxID, body)
    return reply.code(201).send(toShownMount(mounted))
  }

const unmount =
  ({ volumeMounts }: VolumeMountRoutesOptions): Handler<typeof unmountVolume> =>
  async ({ caller, params, query }, reply) => {
    await volumeMounts.unmount(caller.team, params.sandboxID, query.path)
    return reply.code(204).send(null)
  }
