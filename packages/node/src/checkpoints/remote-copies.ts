import type { Logger } from 'pino'
import type { Catalog } from './catalog.ts'
import { type CheckpointStore, idOfKey, MANIFESTS_PREFIX, manifestKey } from './checkpoint-store.ts'
import { type GarbageReport, mark, sweep } from './garbage.ts'
import type { LocalStore } from './local-store.ts'
import { chunksOf, isDamage, type PackedCheckpoint } from './manifest.ts'
import { fetchManifest, REMOTE_GRACE_MS, uploadCheckpoint } from './remote-copy.ts'
import { RetryQueue, type RetryState } from './retry-queue.ts'

const CONCURRENCY = 2

export interface RemoteCopiesOptions {
  local: LocalStore
  remote: CheckpointStore
  catalog: Catalog
  logger: Logger
  /** Default 1000 ms. */
  firstRetryMs?: number
  /** A checkpoint is in the remote store from now on. */
  onUploaded: () => void
}

export interface UploadProgress extends RetryState {
  uploadedChunks: number
  totalChunks: number
}

/**
 * Brings the remote store in line with this machine, in the background: what is here and not there is uploaded, what
 * is to be deleted is deleted there. What is owed can be read off the files, so a crash forgets nothing.
 */
export class RemoteCopies {
  readonly #options: RemoteCopiesOptions
  readonly #queue: RetryQueue
  readonly #progress = new Map<string, { uploadedChunks: number; totalChunks: number }>()

  constructor(options: RemoteCopiesOptions) {
    this.#options = options
    this.#queue = new RetryQueue({
      concurrency: CONCURRENCY,
      firstDelayMs: options.firstRetryMs,
      isFinal: isDamage,
      onError: (id, err) => options.logger.warn({ err, checkpointId: id }, 'remote copy'),
      work: (id, signal) => this.#align(id, signal),
    })
  }

  /** Looks for what a former run left undone. */
  async resume(): Promise<void> {
    const { catalog } = this.#options
    for (const id of await catalog.deletingIds()) this.#queue.add(id)
    for (const id of await catalog.localIds()) if (!(await catalog.hasRemote(id))) this.#queue.add(id)
  }

  /** Something about this checkpoint changed here. */
  align(id: string): void {
    this.#queue.add(id)
  }

  /** Ends an upload that is under way. */
  stop(id: string): Promise<void> {
    return this.#queue.remove(id)
  }

  progress(id: string): UploadProgress | undefined {
    const state = this.#queue.state(id)
    return state && { uploadedChunks: 0, totalChunks: 0, ...this.#progress.get(id), ...state }
  }

  whenSettled(id: string): Promise<void> {
    return this.#queue.whenSettled(id)
  }

  /**
   * Deletes chunks that no checkpoint needs, of any machine; those of the last 24 hours stay, they may belong to an
   * upload. Of all machines that share the store one is enough to do this.
   */
  async collectGarbage(isDryRun: boolean): Promise<GarbageReport> {
    const { catalog, remote } = this.#options
    const unmodifiedSinceMs = Date.now() - REMOTE_GRACE_MS
    const marked = await mark(catalog.allLocal(), new Set())
    await mark(this.#allRemote(), marked)
    return sweep(remote, { marked, unmodifiedSinceMs, isDryRun })
  }

  close(): Promise<void> {
    return this.#queue.close()
  }

  async #align(id: string, signal: AbortSignal): Promise<void> {
    const { catalog, remote } = this.#options
    if (await catalog.isDeleting(id)) {
      await catalog.removeLocal(id)
      await remote.delete(manifestKey(id))
      await catalog.removeRemote(id)
      await catalog.endDelete(id)
      return
    }
    const checkpoint = await catalog.local(id)
    if (checkpoint && !(await catalog.hasRemote(id))) await this.#upload(checkpoint, signal)
  }

  async #upload(checkpoint: PackedCheckpoint, signal: AbortSignal): Promise<void> {
    const { catalog, local, remote, onUploaded } = this.#options
    const progress = { uploadedChunks: 0, totalChunks: chunksOf(checkpoint).size }
    this.#progress.set(checkpoint.id, progress)
    try {
      const onChunk = () => progress.uploadedChunks++
      await uploadCheckpoint(local, remote, checkpoint, { signal, onChunk })
      await catalog.addRemote(checkpoint)
    } finally {
      this.#progress.delete(checkpoint.id)
    }
    onUploaded()
  }

  async *#allRemote(): AsyncIterable<PackedCheckpoint> {
    const { catalog, remote } = this.#options
    for await (const { key } of remote.list(MANIFESTS_PREFIX)) {
      const id = idOfKey(key)
      // a manifest never changes: the copy here saves the request
      const checkpoint =
        (await catalog.remote(id).catch(() => undefined)) ?? (await fetchManifest(remote, id))
      if (checkpoint) yield checkpoint
    }
  }
}
