import { checkStore } from '@sandlot/server'
import type { Settings } from '../settings.ts'
import { storeUrl } from '../store-url.ts'
import type { Verdict } from './finding.ts'

/** Whether the database of the setting `store` can be reached and is new enough. */
export async function store(settings: Pick<Settings, 'home' | 'store'>): Promise<Verdict> {
  if (settings.store === 'sqlite') return { status: 'ok', detail: 'SQLite, a file in the home' }
  try {
    await checkStore(storeUrl(settings))
    return { status: 'ok', detail: 'PostgreSQL answers' }
  } catch (error) {
    return {
      status: 'failed',
      detail: (error as Error).message,
      mend: 'check the setting `store` (SANDLOT_STORE, or in sandlot.config.json)',
    }
  }
}
