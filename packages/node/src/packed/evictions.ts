import { type ChunkExtent, chunksOf, type PackedCheckpoint } from './manifest.ts'

export interface EvictionPlan {
  ids: string[]
  chunks: ChunkExtent[]
  bytes: number
}

/**
 * Plans which local copies to evict to free `excessBytes`, in the order of `evictable` (least recently used first). A
 * chunk is evicted with the last local checkpoint that uses it.
 */
export function planEvictions(
  local: ReadonlyMap<string, PackedCheckpoint>,
  evictable: readonly string[],
  keptChunks: ReadonlySet<string>,
  excessBytes: number,
): EvictionPlan {
  const users = new Map<string, number>()
  for (const checkpoint of local.values())
    for (const chunk of chunksOf(checkpoint).keys()) users.set(chunk, (users.get(chunk) ?? 0) + 1)

  const plan: EvictionPlan = { ids: [], chunks: [], bytes: 0 }
  for (const id of evictable) {
    if (plan.bytes >= excessBytes) break
    const checkpoint = local.get(id)
    if (!checkpoint) continue
    plan.ids.push(id)
    for (const extent of chunksOf(checkpoint).values()) {
      const remaining = users.get(extent.chunk)! - 1
      users.set(extent.chunk, remaining)
      if (remaining > 0 || keptChunks.has(extent.chunk)) continue
      plan.chunks.push(extent)
      plan.bytes += extent.storedBytes
    }
  }
  return plan
}
