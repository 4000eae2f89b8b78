import { join } from 'node:path'
import type { Settings } from './settings.ts'

/** What the setting `store` means to the server's `openStore`. */
export const storeUrl = ({ store, home }: Pick<Settings, 'store' | 'home'>): string =>
  store === 'sqlite' ? `sqlite:${join(home, 'db.sqlite')}` : store
