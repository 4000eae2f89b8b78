import { SandlotError } from '@sandlot/protocol'

const MAX_LIMIT = 100
/** Most items of a list without pages. */
export const MAX_UNPAGED = 5_000

/** @param count number of items, or a lower bound of it @throws SandlotError invalid_request */
export function checkUnpaged(count: number, what: string, paged: string): void {
  if (count > MAX_UNPAGED)
    throw new SandlotError(
      'invalid_request',
      `there are more than ${MAX_UNPAGED} ${what}, which is too much for one answer: page through them with ${paged}`,
    )
}

/** Clamps a limit to 1 … 100. Default 100. */
export const clampLimit = (limit: number | undefined): number =>
  Math.min(MAX_LIMIT, Math.max(1, limit ?? MAX_LIMIT))

/** Cursor of the next page, which begins after the item with this time and id. Opaque to clients. */
export interface Cursor {
  timeMs: number
  id: string
}

export const encodeCursor = ({ timeMs, id }: Cursor): string =>
  Buffer.from(`${new Date(timeMs).toISOString()}__${id}`).toString('base64url')

/** @throws SandlotError invalid_request */
export function decodeCursor(token: string): Cursor {
  const [time = '', id = '', rest] = Buffer.from(token, 'base64url').toString('utf8').split('__')
  const timeMs = Date.parse(time)
  if (Number.isNaN(timeMs) || !/^[A-Za-z0-9-]{1,64}$/.test(id) || rest !== undefined)
    throw new SandlotError('invalid_request', 'Invalid next token')
  return { timeMs, id }
}

/** Cuts a page out of items that are all in memory. */
export function pageOf<T>(
  items: T[],
  cursorOf: (item: T) => Cursor,
  options: { limit: number; after?: Cursor; isAscending: boolean },
): { page: T[]; nextToken?: string } {
  const direction = options.isAscending ? 1 : -1
  const compare = (a: Cursor, b: Cursor) =>
    direction * (a.timeMs - b.timeMs || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
  const sorted = items
    .map((item) => ({ item, cursor: cursorOf(item) }))
    .sort((a, b) => compare(a.cursor, b.cursor))
  const { after } = options
  const rest = after ? sorted.filter(({ cursor }) => compare(cursor, after) > 0) : sorted
  const page = rest.slice(0, options.limit)
  const last = page.at(-1)
  return {
    page: page.map(({ item }) => item),
    nextToken: rest.length > page.length && last ? encodeCursor(last.cursor) : undefined,
  }
}

/**
 * Parses the `metadata` filter after the query string was decoded. The official clients encode each key and value, and
 * then the whole filter once more; users of curl encode once.
 */
export const parseMetadataFilter = (filter: string): Array<[string, string]> =>
  [...new URLSearchParams(filter)].map(([key, value]) => [decoded(key), decoded(value)])

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
