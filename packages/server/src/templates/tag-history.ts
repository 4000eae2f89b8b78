import { SandlotError } from '@sandlot/protocol'
import { sql } from 'kysely'
import type { Store } from '../store/open-store.ts'

export type TagSort = 'latest_desc' | 'latest_asc' | 'name_asc' | 'name_desc'

/** One assignment of a tag to a build. */
export interface TagAssignment {
  assignmentId: string
  tag: string
  buildId: string
  assignedAtMs: number
  buildCreatedAtMs: number
  buildFinishedAtMs: number | null
}

export interface TagGroup {
  tag: string
  assignments: TagAssignment[]
  hasMore: boolean
}

export interface Page<T> {
  items: T[]
  nextCursor: string | null
}

/** Reads which builds the tags of a template were assigned to, page by page; deleted builds are omitted. */
export class TagHistory {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Lists the assignments of a tag, newest first. @throws SandlotError invalid_request: the cursor belongs to another list */
  async assignments(
    templateId: string,
    tag: string,
    { limit, cursor }: { limit: number; cursor?: string },
  ): Promise<Page<TagAssignment>> {
    let query = this.#store
      .selectFrom('tag_assignments as assignment')
      .innerJoin('builds', 'builds.id', 'assignment.build_id')
      .select([
        'assignment.id',
        'assignment.tag',
        'assignment.build_id',
        'assignment.assigned_at',
        'builds.created_at',
        'builds.finished_at',
      ])
      .where('assignment.template_id', '=', templateId)
      .where('assignment.tag', '=', tag)
      .orderBy('assignment.assigned_at', 'desc')
      .orderBy('assignment.id', 'desc')
      .limit(limit + 1)
    if (cursor !== undefined) {
      const [atMs, id] = decode('assignments', cursor)
      query = query.where(({ eb, or, and }) =>
        or([
          eb('assignment.assigned_at', '<', atMs),
          and([eb('assignment.assigned_at', '=', atMs), eb('assignment.id', '<', id)]),
        ]),
      )
    }
    const found = (await query.execute()).map(toAssignment)
    const items = found.slice(0, limit)
    const last = items.at(-1)
    return {
      items,
      nextCursor:
        found.length > limit && last ? encode('assignments', last.assignedAtMs, last.assignmentId) : null,
    }
  }

  /**
   * Lists the tags of a template, each with the newest assignments.
   * @param search part of the tag
   * @throws SandlotError invalid_request: the cursor belongs to another list
   */
  async groups(
    templateId: string,
    options: { sort: TagSort; tagsLimit: number; assignmentLimit: number; search?: string; cursor?: string },
  ): Promise<Page<TagGroup>> {
    const { sort, tagsLimit, search } = options
    const isByName = sort.startsWith('name')
    const direction = sort.endsWith('desc') ? 'desc' : 'asc'
    let query = this.#store
      .selectFrom('template_tags')
      .select(['tag', 'created_at'])
      .where('template_id', '=', templateId)
      .orderBy(isByName ? 'tag' : 'created_at', direction)
      .orderBy('tag', direction)
      .limit(tagsLimit + 1)
    if (search)
      query = query.where(
        sql<boolean>`lower(tag) like lower(${`%${search.replaceAll('_', '\\_')}%`}) escape '\\'`,
      )
    if (options.cursor !== undefined) {
      const [atMs, tag] = decode(sort, options.cursor)
      const isBehind = direction === 'desc' ? '<' : '>'
      query = query.where(({ eb, or, and }) =>
        isByName
          ? eb('tag', isBehind, tag)
          : or([
              eb('created_at', isBehind, atMs),
              and([eb('created_at', '=', atMs), eb('tag', isBehind, tag)]),
            ]),
      )
    }
    const found = await query.execute()
    const page = found.slice(0, tagsLimit)
    const newest = await this.#newest(
      templateId,
      page.map(({ tag }) => tag),
      options.assignmentLimit + 1,
    )
    const last = page.at(-1)
    return {
      items: page.map(({ tag }) => {
        const assignments = newest.filter((assignment) => assignment.tag === tag)
        return {
          tag,
          assignments: assignments.slice(0, options.assignmentLimit),
          hasMore: assignments.length > options.assignmentLimit,
        }
      }),
      nextCursor: found.length > tagsLimit && last ? encode(sort, last.created_at, last.tag) : null,
    }
  }

  /** Reads the newest assignments of each tag, at most `limit` for a tag. */
  async #newest(templateId: string, tags: string[], limit: number): Promise<TagAssignment[]> {
    if (tags.length === 0) return []
    const rows = await this.#store
      .with('ranked', (db) =>
        db
          .selectFrom('tag_assignments')
          .selectAll()
          .select(
            sql<number>`row_number() over (partition by tag order by assigned_at desc, id desc)`.as(
              'position',
            ),
          )
          .where('template_id', '=', templateId)
          .where('tag', 'in', tags),
      )
      .selectFrom('ranked')
      .innerJoin('builds', 'builds.id', 'ranked.build_id')
      .select(['ranked.id', 'ranked.tag', 'ranked.build_id', 'ranked.assigned_at'])
      .select(['builds.created_at', 'builds.finished_at'])
      .where('position', '<=', limit)
      .orderBy('position')
      .execute()
    return rows.map(toAssignment)
  }
}

const toAssignment = (row: {
  id: string
  tag: string
  build_id: string
  assigned_at: number
  created_at: number
  finished_at: number | null
}): TagAssignment => ({
  assignmentId: row.id,
  tag: row.tag,
  buildId: row.build_id,
  assignedAtMs: row.assigned_at,
  buildCreatedAtMs: row.created_at,
  buildFinishedAtMs: row.finished_at,
})

const encode = (list: string, atMs: number, id: string): string =>
  Buffer.from(JSON.stringify([list, atMs, id])).toString('base64url')

function decode(list: string, cursor: string): [atMs: number, id: string] {
  const [of, atMs, id] = parsed(cursor)
  if (of === list && Number.isSafeInteger(atMs) && typeof id === 'string') return [atMs as number, id]
  throw new SandlotError(
    'invalid_request',
    'the cursor does not belong to this list: send the nextCursor of the previous page, with the same sort',
  )
}

function parsed(cursor: string): unknown[] {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}
