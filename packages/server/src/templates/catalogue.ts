import type { BuildInfo, SandboxNode } from '@sandlot/node'
import { newTemplateId, SandlotError } from '@sandlot/protocol'
import type { Store } from '../store/store.ts'
import { DEFAULT_TEAM_SLUG } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'

const DEFAULT_TAG = 'default'

export interface Template {
  templateId: string
  name: string
  createdAtMs: number
  build: BuildInfo
}

/** What sandboxes can be started from: the builds of the node under ids that stay the same. */
export class TemplateCatalogue {
  readonly #store: Store
  readonly #byKey = new Map<string, Template>()

  constructor(store: Store) {
    this.#store = store
  }

  async load(node: SandboxNode): Promise<void> {
    this.#byKey.clear()
    for (const build of node.builds()) {
      await this.#store
        .insertInto('templates')
        .values({
          id: newTemplateId(),
          name: build.name,
          created_at: Date.now(),
          spawn_count: 0,
          last_spawned_at: null,
        })
        .onConflict((conflict) => conflict.column('name').doNothing())
        .execute()
      const row = await this.#store
        .selectFrom('templates')
        .selectAll()
        .where('name', '=', build.name)
        .executeTakeFirstOrThrow()
      const template = { templateId: row.id, name: row.name, createdAtMs: row.created_at, build }
      this.#byKey.set(row.id, template)
      this.#byKey.set(row.name, template)
    }
  }

  all(): Template[] {
    return [...new Set(this.#byKey.values())]
  }

  find(key: string, team: Team): Template | undefined {
    const slash = key.indexOf('/')
    const namespace = key.slice(0, slash).trim().toLowerCase()
    if (slash >= 0 && namespace !== DEFAULT_TEAM_SLUG && namespace !== team.slug) return undefined
    return this.#byKey.get(
      key
        .slice(slash + 1)
        .trim()
        .toLowerCase(),
    )
  }

  /** How often sandboxes were started from each template, and when last. */
  async spawns(): Promise<Map<string, { count: number; lastAtMs: number | null }>> {
    const rows = await this.#store
      .selectFrom('templates')
      .select(['id', 'spawn_count', 'last_spawned_at'])
      .execute()
    return new Map(rows.map((row) => [row.id, { count: row.spawn_count, lastAtMs: row.last_spawned_at }]))
  }

  /** @param reference id, name, namespace/name, or one of these with `:tag`. @throws SandlotError not_found */
  resolve(reference: string, team: Team): Template {
    const colon = reference.indexOf(':')
    const [key, tag] =
      colon < 0
        ? [reference]
        : [
            reference.slice(0, colon),
            reference
              .slice(colon + 1)
              .trim()
              .toLowerCase(),
          ]
    const template = this.find(key, team)
    if (!template) {
      const near = this.all()
        .map(({ name }) => name)
        .filter((name) => distance(name, key.toLowerCase()) <= 2)
      const hint =
        near.length > 0
          ? `; did you mean '${near.join("' or '")}'?`
          : `; there is '${this.all()
              .map(({ name }) => name)
              .join("', '")}'`
      throw new SandlotError('not_found', `template '${reference.slice(0, 200)}' not found${hint}`)
    }
    if (tag !== undefined && tag !== DEFAULT_TAG)
      throw new SandlotError('not_found', `tag '${tag}' does not exist for template '${key}'`)
    return template
  }
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
