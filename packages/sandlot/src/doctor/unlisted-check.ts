import type { Settings } from '../settings.ts'
import { unlistedReport } from '../unlisted-report.ts'
import type { Verdict } from './finding.ts'

/**
 * Warns about data that the database does not list, as it is empty, older or foreign, while the data can still be saved.
 */
export async function unlistedData(settings: Pick<Settings, 'home' | 'unlistedGraceDays'>): Promise<Verdict> {
  const lines = await unlistedReport(settings)
  if (lines.length === 0) return { status: 'ok', detail: 'the database lists everything in the home' }
  return {
    status: 'warning',
    detail: lines.join('; '),
    mend: 'if they are needed, restore the database that lists them (db.sqlite) and start; else wait, or start with --unlisted-grace-days 0 and run `sandlot gc`. `sandlot down` ends all sandboxes, including frozen ones, and frees their memory and network slots; checkpoints are kept',
  }
}
