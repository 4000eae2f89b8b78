import { join } from 'node:path'
import type { Settings } from './settings.ts'

/** Turns the setting `store` into the URL for the server's `openStore`. */
export const storeUrl = ({ store, home }: Pick<Settings, 'store' | 'home'>): string =>
  store === 'sqlite' ? `sqlite:${join(home, 'db.sqlite')}` : store
