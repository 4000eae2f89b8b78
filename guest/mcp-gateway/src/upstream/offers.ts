import type { Client, Prompt, Resource, ResourceTemplateType, Tool } from '@modelcontextprotocol/client'
import { anyResult } from './any-result.ts'

/** Everything that a server offers, in its order. */
export interface Offers {
  tools: Tool[]
  prompts: Prompt[]
  resources: Resource[]
  templates: ResourceTemplateType[]
}

const MAX_PAGES = 100
const MAX_ITEMS = 10_000
const TIMEOUT_MS = 30_000

/** The list method and the field of its result, by kind. */
const LISTS = {
  tools: { method: 'tools/list', field: 'tools', capability: 'tools' },
  prompts: { method: 'prompts/list', field: 'prompts', capability: 'prompts' },
  resources: { method: 'resources/list', field: 'resources', capability: 'resources' },
  templates: { method: 'resources/templates/list', field: 'resourceTemplates', capability: 'resources' },
} as const

export const noOffers = (): Offers => ({ tools: [], prompts: [], resources: [], templates: [] })

/** Asks a server for the given lists, or all. A list that the server refuses is empty. */
export async function askForOffers(
  client: Client,
  known: Offers,
  kinds = Object.keys(LISTS) as Array<keyof Offers>,
): Promise<Offers> {
  const lists = await Promise.all(
    kinds.map(async (kind) => [kind, await wholeList(client, kind).catch(() => [])] as const),
  )
  return { ...known, ...Object.fromEntries(lists) }
}

async function wholeList(client: Client, kind: keyof Offers): Promise<unknown[]> {
  const { method, field, capability } = LISTS[kind]
  if (!client.getServerCapabilities()?.[capability]) return []
  const items: unknown[] = []
  let cursor: unknown
  for (let page = 0; page < MAX_PAGES && items.length < MAX_ITEMS; page++) {
    const params = cursor === undefined ? {} : { cursor }
    const result = await client.request({ method, params }, anyResult, { timeout: TIMEOUT_MS })
    if (Array.isArray(result[field])) items.push(...(result[field] as unknown[]))
    cursor = result.nextCursor
    if (typeof cursor !== 'string') break
  }
  return items.slice(0, MAX_ITEMS)
}
