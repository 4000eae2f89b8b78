import type { Settings } from '../settings.ts'
import { unlistedReport } from '../unlisted-report.ts'
import type { Verdict } from './finding.ts'

/** Warns of data that the database (an empty, older or foreign one) does not list, while the data can still be saved. */
export async function unlistedData(settings: Pick<Settings, 'home' | 'unlistedGraceDays'>): Promise<Verdict> {
  const lines = await unlistedReport(settings)
  if (lines.length === 0) return { status: 'ok', detail: 'the database lists all that is here' }
  return {
    status: 'warning',
    detail: lines.join('; '),
    mend: 'if they are needed, put back the database that lists them (db.sqlite) and start; else wait, or start with --unlisted-grace-days 0 and run `sandlot gc`. `sandlot down` ends sandboxes, also those that stand still, whose memory and network slots are free then; checkpoints stay',
  }
}
