const MAX_TIMER_MS = 2 ** 31 - 1

export interface DeadlineHeapOptions {
  onExpired: (key: string) => void
  now?: () => number
}

interface Entry {
  key: string
  atMs: number
}

/** Many deadlines with one timer: a binary heap by time. A changed deadline leaves a stale entry, which is skipped. */
export class DeadlineHeap {
  readonly #onExpired: (key: string) => void
  readonly #now: () => number
  #heap: Entry[] = []
  readonly #current = new Map<string, Entry>()
  #timer: NodeJS.Timeout | undefined

  constructor({ onExpired, now = Date.now }: DeadlineHeapOptions) {
    this.#onExpired = onExpired
    this.#now = now
  }

  get size(): number {
    return this.#current.size
  }

  set(key: string, atMs: number): void {
    const entry = { key, atMs }
    this.#current.set(key, entry)
    // stale entries never outnumber the live ones by more than a constant
    if (this.#heap.length > 2 * this.#current.size + 64)
      this.#heap = [...this.#current.values()].sort((a, b) => a.atMs - b.atMs)
    else this.#push(entry)
    if (this.#heap[0] === entry) this.#arm()
  }

  delete(key: string): void {
    this.#current.delete(key)
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#heap.length = 0
    this.#current.clear()
  }

  #arm(): void {
    clearTimeout(this.#timer)
    const first = this.#heap[0]
    if (!first) return
    this.#timer = setTimeout(
      () => this.#expire(),
      Math.min(Math.max(0, first.atMs - this.#now()), MAX_TIMER_MS),
    )
  }

  #expire(): void {
    const now = this.#now()
    for (let first = this.#heap[0]; first && first.atMs <= now; first = this.#heap[0]) {
      this.#pop()
      if (this.#current.get(first.key) !== first) continue
      this.#current.delete(first.key)
      this.#onExpired(first.key)
    }
    this.#arm()
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let index = heap.push(entry) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (heap[parent]!.atMs <= entry.atMs) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = entry
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      const left = 2 * index + 1
      if (left >= heap.length) break
      const child = left + 1 < heap.length && heap[left + 1]!.atMs < heap[left]!.atMs ? left + 1 : left
      if (heap[child]!.atMs >= last.atMs) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}
