import { collectGarbage, getStorageUsage } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import type { StorageUsage } from './service.ts'

export interface UsageRoutesOptions {
  storage: StorageUsage
}

/** Reports the storage that a team uses, and collects garbage. */
export function usageRoutes(app: App, options: UsageRoutesOptions): void {
  app.get('/usage/storage', { schema: getStorageUsage }, getStorage(options))
  app.post('/usage/storage/gc', { schema: collectGarbage }, collect(options))
}

const getStorage =
  ({ storage }: UsageRoutesOptions): Handler<typeof getStorageUsage> =>
  async (request) =>
    storage.usage(request.caller.team)

const collect =
  ({ storage }: UsageRoutesOptions): Handler<typeof collectGarbage> =>
  async (request) =>
    storage.collectGarbage(request.caller.team, request.body.isDryRun)
