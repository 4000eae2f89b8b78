/** An item that can be removed, as it can be created again. */
export interface Reclaimable {
  key: string
  sizeBytes: number
  usedAtMs: number
}

export interface KeepLimits {
  /** Items that were not used for this long are removed. */
  maxAgeMs: number
  /** The least recently used items are removed until the rest fits. */
  maxBytes: number
}

/** Recently used items are kept: a running build may have just found them. */
const GRACE_MS = 10 * 60_000

/** Selects items to remove. @param isInUse items that are kept, but count towards the budget */
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
