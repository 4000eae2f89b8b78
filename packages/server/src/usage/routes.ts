import { collectGarbage, getStorageUsage } from '@sandlot/protocol/rest'
import type { App, Handler } from '../http/app.ts'
import type { SandboxService } from '../sandboxes/service.ts'

export interface UsageRoutesOptions {
  sandboxes: SandboxService
}

/** Storage that a team uses. The rules are in `teams/storage.ts`. */
export function usageRoutes(app: App, options: UsageRoutesOptions): void {
  app.get('/usage/storage', { schema: getStorageUsage }, getStorage(options))
  app.post('/usage/storage/gc', { schema: collectGarbage }, collect(options))
}

const getStorage =
  ({ sandboxes }: UsageRoutesOptions): Handler<typeof getStorageUsage> =>
  async (request) =>
    sandboxes.storage.usage(request.caller.team)

const collect =
  ({ sandboxes }: UsageRoutesOptions): Handler<typeof collectGarbage> =>
  async (request) =>
    sandboxes.storage.collectGarbage(request.caller.team, request.body.isDryRun)
