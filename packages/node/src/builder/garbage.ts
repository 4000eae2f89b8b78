/** Something that can be made again. */
export interface Reclaimable {
  key: string
  sizeBytes: number
  usedAtMs: number
}

export interface KeepLimits {
  /** What was not used for so long goes. */
  maxAgeMs: number
  /** What was not used for longest goes until the rest fits. */
  maxBytes: number
}

/** Never goes: a build that is under way may have just found it. */
const GRACE_MS = 10 * 60_000

/** @param isInUse what a running or saved machine, or a template needs; it counts into the budget all the same */
export function garbageOf<T extends Reclaimable>(
  items: readonly T[],
  { maxAgeMs, maxBytes }: KeepLimits,
  nowMs: number,
  isInUse: (item: T) => boolean = () => false,
): T[] {
  let bytes = items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const garbage: T[] = []
  for (const item of [...items].sort((a, b) => a.usedAtMs - b.usedAtMs)) {
    const ageMs = nowMs - item.usedAtMs
    if (isInUse(item) || ageMs < GRACE_MS) continue
    if (ageMs <= maxAgeMs && bytes <= maxBytes) continue
    garbage.push(item)
    bytes -= item.sizeBytes
  }
  return garbage
}
