import { Worker } from 'node:worker_threads'
import { SandlotError } from '@sandlot/protocol'
import type { ExpandAnswer, ExpandRequest } from './expand-thread.ts'
import { logicalBytes, type PackedCheckpoint } from './manifest.ts'

const MAX_CONCURRENT = 100
const MIN_TIMEOUT_MS = 60_000
/** Lowest accepted speed. Measured: 400 000 and more; less with concurrent expansions and a slow disk. */
const SLOWEST_BYTES_PER_MS = 5_000

interface Pending {
  resolve: () => void
  reject: (error: SandlotError) => void
}

/** Expands checkpoints in a thread; concurrent expansions take turns there after each chunk. */
export class Expander {
  readonly #storeDir: string
  readonly #pending = new Map<number, Pending>()
  #requests = 0
  #isClosed = false
  #thread: Worker | undefined

  /** Starts the thread (40 ms), so that the first resume does not wait for it. */
  constructor(storeDir: string) {
    this.#storeDir = storeDir
    this.#thread = this.#start()
  }

  /** @throws SandlotError what `expandFolder` throws; rate_limited (100 are running), operation_timeout, server_draining */
  async expand(checkpoint: PackedCheckpoint, targetDir: string): Promise<void> {
    if (this.#isClosed) throw draining()
    if (this.#pending.size >= MAX_CONCURRENT)
      throw new SandlotError(
        'rate_limited',
        `${MAX_CONCURRENT} checkpoints are being expanded; try again soon`,
        { retryAfterSeconds: 5 },
      )
    const request = ++this.#requests
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const timeoutMs = Math.max(MIN_TIMEOUT_MS, logicalBytes(checkpoint) / SLOWEST_BYTES_PER_MS)
    const timer = setTimeout(() => reject(timedOut(checkpoint.id, timeoutMs)), timeoutMs)
    this.#pending.set(request, { resolve, reject })
    this.#thread ??= this.#start()
    this.#thread.postMessage({ request, checkpoint, targetDir } satisfies ExpandRequest)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.#pending.delete(request)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#rejectAll(draining())
    await this.#thread?.terminate()
  }

  #start(): Worker {
    const workerData = { storeDir: this.#storeDir }
    const worker = new Worker(new URL('./expand-thread.ts', import.meta.url), { workerData })
    worker.unref()
    worker.on('message', ({ request, failure }: ExpandAnswer) => {
      const { resolve, reject } = this.#pending.get(request) ?? {}
      if (failure) reject?.(new SandlotError(failure.errorName, failure.message))
      else resolve?.()
    })
    worker.on('error', (cause) => {
      if (this.#thread === worker) this.#thread = undefined
      const message = `the expanding thread died: ${cause.message}`
      this.#rejectAll(new SandlotError('internal_server_error', message, { cause }))
    })
    return worker
  }

  #rejectAll(error: SandlotError): void {
    for (const { reject } of [...this.#pending.values()]) reject(error)
  }
}

const draining = (): SandlotError => new SandlotError('server_draining', 'the server is shutting down')

const timedOut = (id: string, timeoutMs: number): SandlotError =>
  new SandlotError(
    'operation_timeout',
    `checkpoint '${id}' was not expanded within ${Math.round(timeoutMs / 1000)} s`,
  )
