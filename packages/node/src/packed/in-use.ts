import { chunksOf, type PackedCheckpoint } from './manifest.ts'

/** Tolerance for file times, which lag behind the clock by up to a tick of the kernel (10 ms). */
const CLOCK_TOLERANCE_MS = 1_000

/** One running operation on a checkpoint. */
export interface Use {
  /** Protects the checkpoint's chunks, even if the manifest is removed. */
  pin(checkpoint: PackedCheckpoint): void
  end(): void
}

interface Entry {
  id: string
  beganMs: number
  pinned?: PackedCheckpoint
}

/** Tracks checkpoints that are being packed, expanded or copied, so that sweeps and evictions leave them alone. */
export class InUse {
  readonly #entries = new Set<Entry>()
  #waiting: Array<{ id: string; resolve: () => void }> = []

  begin(id: string): Use {
    const entry: Entry = { id, beganMs: Date.now() }
    this.#entries.add(entry)
    return {
      pin: (checkpoint) => {
        entry.pinned = checkpoint
      },
      end: () => {
        this.#entries.delete(entry)
        for (const waiter of this.#waiting) if (!this.has(waiter.id)) waiter.resolve()
        this.#waiting = this.#waiting.filter(({ id }) => this.has(id))
      },
    }
  }

  has(id: string): boolean {
    for (const entry of this.#entries) if (entry.id === id) return true
    return false
  }

  /** Resolves when no operation uses the checkpoint; every operation has its own time limit. */
  whenIdle(id: string): Promise<void> {
    if (!this.has(id)) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ id, resolve }))
  }

  /**
   * Chunks that were written or touched after this instant may belong to an unfinished operation (Unix milliseconds).
   */
  sweepableBeforeMs(): number {
    let oldestMs = Date.now()
    for (const { beganMs } of this.#entries) oldestMs = Math.min(oldestMs, beganMs)
    return oldestMs - CLOCK_TOLERANCE_MS
  }

  pinnedChunks(): Set<string> {
    const chunks = new Set<string>()
    for (const { pinned } of this.#entries)
      if (pinned) for (const chunk of chunksOf(pinned).keys()) chunks.add(chunk)
    return chunks
  }
}
