import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import { withoutPassword } from '@sandlot/server'
import { findServer } from './server-lock.ts'
import type { Settings } from './settings.ts'

/** Turns the setting `store` into the URL for the server's `openStore`. */
export const storeUrl = ({ store, home }: Pick<Settings, 'store' | 'home'>): string =>
  store === 'sqlite' ? `sqlite:${join(home, 'db.sqlite')}` : store

/**
 * Like `storeUrl`, for commands that work beside the running server of a home.
 * @throws SandlotError conflict when that server has another database
 */
export function storeOfServer(settings: Pick<Settings, 'store' | 'home'>): string {
  const url = storeUrl(settings)
  const ofServer = findServer(settings.home)?.store
  const ofCommand = withoutPassword(url)
  if (ofServer === undefined || ofServer === ofCommand) return url
  throw new SandlotError(
    'conflict',
    `the server of ${settings.home} uses the store ${ofServer}, and this command would use ${ofCommand}: set SANDLOT_STORE, or store in sandlot.config.json, as for the server`,
  )
}
