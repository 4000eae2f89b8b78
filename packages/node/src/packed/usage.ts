import type { UsageReport } from '@sandlot/protocol/node'
import { chunksOf, logicalBytes, type PackedCheckpoint } from './manifest.ts'

/**
 * Computes the usage of some checkpoints among all. In the total, `sharedBytes` is shared with checkpoints outside of
 * `ids`, so deleting all of `ids` frees `storedBytes - sharedBytes`.
 */
export async function usageOf(
  ids: readonly string[],
  all: AsyncIterable<PackedCheckpoint>,
): Promise<UsageReport> {
  const wanted = new Set(ids)
  const chosen: PackedCheckpoint[] = []
  const usersInside = new Map<string, number>()
  const usedOutside = new Set<string>()
  for await (const checkpoint of all) {
    const isWanted = wanted.has(checkpoint.id)
    if (isWanted) chosen.push(checkpoint)
    for (const chunk of chunksOf(checkpoint).keys())
      if (isWanted) usersInside.set(chunk, (usersInside.get(chunk) ?? 0) + 1)
      else usedOutside.add(chunk)
  }

  const report: UsageReport = { logicalBytes: 0, storedBytes: 0, sharedBytes: 0, checkpoints: {} }
  const counted = new Set<string>()
  for (const checkpoint of chosen) {
    const usage = { logicalBytes: logicalBytes(checkpoint), storedBytes: 0, sharedBytes: 0 }
    for (const { chunk, storedBytes } of chunksOf(checkpoint).values()) {
      usage.storedBytes += storedBytes
      if (usedOutside.has(chunk) || usersInside.get(chunk)! > 1) usage.sharedBytes += storedBytes
      if (counted.has(chunk)) continue
      counted.add(chunk)
      report.storedBytes += storedBytes
      if (usedOutside.has(chunk)) report.sharedBytes += storedBytes
    }
    report.logicalBytes += usage.logicalBytes
    report.checkpoints[checkpoint.id] = usage
  }
  return report
}
