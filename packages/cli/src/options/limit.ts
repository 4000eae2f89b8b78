import { Option } from 'commander'
import { parseWholeNumber } from './whole-number.ts'

/** `-l 50`; 0 lists everything. */
export const limitOption = (what: string): Option =>
  new Option('-l, --limit <limit>', `limit the number of ${what} returned (0 for no limit)`)
    .default(1000)
    .argParser((text) => parseWholeNumber(text, { least: 0 }))

/** Reads pages to the end, or up to `limit` items. */
export async function collect<T>(
  pages: { hasNext: boolean; nextItems(): Promise<T[]> },
  limit: number,
): Promise<{ items: T[]; hasMore: boolean }> {
  const items: T[] = []
  while (pages.hasNext && (limit === 0 || items.length < limit)) items.push(...(await pages.nextItems()))
  const hasMore = limit > 0 && (pages.hasNext || items.length > limit)
  return { items: limit > 0 ? items.slice(0, limit) : items, hasMore }
}
