import { Worker } from 'node:worker_threads'
import { SandlotError } from '@sandlot/protocol'
import type { ExpandAnswer, ExpandRequest } from './expand-thread.ts'
import { logicalBytes, type PackedCheckpoint } from './manifest.ts'

const MAX_UNDER_WAY = 100
const MIN_TIMEOUT_MS = 60_000
/** Measured: 400 000 and more; with others expanding and a slow disk less. */
const SLOWEST_BYTES_PER_MS = 5_000

export interface Expander {
  /**
   * Expands in a thread of its own; several at once share it chunk by chunk.
   * @throws SandlotError what `expandFolder` throws; rate_limited (100 under way), operation_timeout, server_draining
   */
  expand(checkpoint: PackedCheckpoint, targetDir: string): Promise<void>
  close(): Promise<void>
}

interface Pending {
  resolve: () => void
  reject: (error: SandlotError) => void
}

/** The thread is started now (40 ms), so that the first resume does not wait for it. */
export function createExpander(storeDir: string): Expander {
  const pending = new Map<number, Pending>()
  let requests = 0
  let isClosed = false
  let thread: Worker | undefined = start()

  function start(): Worker {
    const worker = new Worker(new URL('./expand-thread.ts', import.meta.url), { workerData: { storeDir } })
    worker.unref()
    worker.on('message', ({ request, failure }: ExpandAnswer) => {
      const { resolve, reject } = pending.get(request) ?? {}
      if (failure) reject?.(new SandlotError(failure.errorName, failure.message))
      else resolve?.()
    })
    worker.on('error', (cause) => {
      if (thread === worker) thread = undefined
      rejectAll(
        new SandlotError('internal_server_error', `the expanding thread died: ${cause.message}`, { cause }),
      )
    })
    return worker
  }

  function rejectAll(error: SandlotError): void {
    for (const { reject } of [...pending.values()]) reject(error)
  }

  return {
    expand(checkpoint, targetDir) {
      const { id } = checkpoint
      if (isClosed) return Promise.reject(draining())
      if (pending.size >= MAX_UNDER_WAY)
        return Promise.reject(
          new SandlotError(
            'rate_limited',
            `${MAX_UNDER_WAY} checkpoints are being expanded; try again soon`,
            {
              retryAfterSeconds: 5,
            },
          ),
        )
      const request = ++requests
      const timeoutMs = Math.max(MIN_TIMEOUT_MS, logicalBytes(checkpoint) / SLOWEST_BYTES_PER_MS)
      return new Promise<void>((resolve, reject) => {
        const timer = setTimeout(
          () =>
            reject(
              new SandlotError(
                'operation_timeout',
                `checkpoint '${id}' was not expanded within ${Math.round(timeoutMs / 1000)} s`,
              ),
            ),
          timeoutMs,
        )
        const settle = () => clearTimeout(timer)
        pending.set(request, {
          resolve: () => {
            settle()
            resolve()
          },
          reject: (error) => {
            settle()
            reject(error)
          },
        })
        thread ??= start()
        thread.postMessage({ request, checkpoint, targetDir } satisfies ExpandRequest)
      }).finally(() => pending.delete(request))
    },

    async close() {
      isClosed = true
      rejectAll(draining())
      await thread?.terminate()
    },
  }
}

const draining = (): SandlotError => new SandlotError('server_draining', 'the server is shutting down')
