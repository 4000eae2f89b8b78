import type { GarbageReport } from '@sandlot/protocol/node'
import { CHUNKS_PREFIX, chunkOfKey, type ObjectStore } from '../objects/object-store.ts'
import { chunksOf, type PackedCheckpoint } from './manifest.ts'

export interface SweepOptions {
  /** Chunks that checkpoints need. */
  marked: ReadonlySet<string>
  /** Unmarked chunks that were written or touched after this instant are kept (Unix milliseconds). */
  unmodifiedSinceMs: number
  isDryRun: boolean
}

/** Marks the chunks that checkpoints need. @param nameOf name of a chunk in the store that is swept */
export async function mark(
  checkpoints: AsyncIterable<PackedCheckpoint>,
  marked: Set<string>,
  nameOf = (chunk: string) => chunk,
): Promise<Set<string>> {
  for await (const checkpoint of checkpoints)
    for (const chunk of chunksOf(checkpoint).keys()) marked.add(nameOf(chunk))
  return marked
}

/** Deletes unmarked chunks of a store. Objects that are not chunks are left alone. */
export async function sweep(store: ObjectStore, options: SweepOptions): Promise<GarbageReport> {
  const { marked, unmodifiedSinceMs, isDryRun } = options
  const report: GarbageReport = { chunks: 0, bytes: 0, keptChunks: 0, keptBytes: 0 }
  for await (const { key, sizeBytes, modifiedAtMs } of store.list(CHUNKS_PREFIX)) {
    const chunk = chunkOfKey(key)
    if (chunk === undefined) continue
    const isGarbage = !marked.has(chunk) && modifiedAtMs <= unmodifiedSinceMs
    if (isGarbage && (isDryRun || (await store.delete(key, { ifUnmodifiedSinceMs: unmodifiedSinceMs })))) {
      report.chunks++
      report.bytes += sizeBytes
    } else {
      report.keptChunks++
      report.keptBytes += sizeBytes
    }
  }
  return report
}
