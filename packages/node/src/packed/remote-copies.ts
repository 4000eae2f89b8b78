import type { GarbageReport } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import type { FolderStore } from '../objects/folder-store.ts'
import { idOfKey, MANIFESTS_PREFIX, manifestKey } from '../objects/object-store.ts'
import type { RemoteStore } from '../objects/sealed-store.ts'
import { mark, sweep } from './garbage.ts'
import { chunksOf, isDamage, type PackedCheckpoint } from './manifest.ts'
import type { ManifestIndex } from './manifest-index.ts'
import { RemoteClaims } from './remote-claims.ts'
import { fetchManifest, REMOTE_GRACE_MS, uploadCheckpoint } from './remote-copy.ts'
import { RetryQueue, type RetryState } from './retry-queue.ts'

const CONCURRENCY = 2

export interface RemoteCopiesOptions {
  local: FolderStore
  remote: RemoteStore
  index: ManifestIndex
  logger: Logger
  /** Default 1000 ms. */
  firstRetryMs?: number
  /** Fetches a checkpoint that is only in the remote store, sealed with a former key. */
  bringHere: (checkpoint: PackedCheckpoint, signal: AbortSignal) => Promise<void>
  /** Called when a checkpoint has arrived in the remote store. */
  onUploaded: () => void
}

export interface UploadProgress extends RetryState {
  uploadedChunks: number
  totalChunks: number
}

/**
 * Makes the remote store match this machine, in the background: uploads checkpoints that are only local, and deletes those
 * with a pending deletion unless another machine needs them. Pending work is derived from the index's files, so a crash
 * loses none of it.
 */
export class RemoteCopies {
  readonly claims: RemoteClaims
  readonly #options: RemoteCopiesOptions
  readonly #queue: RetryQueue
  readonly #progress = new Map<string, { uploadedChunks: number; totalChunks: number }>()

  constructor(options: RemoteCopiesOptions) {
    this.#options = options
    this.claims = new RemoteClaims(options.remote, options.index)
    this.#queue = new RetryQueue({
      concurrency: CONCURRENCY,
      firstDelayMs: options.firstRetryMs,
      isFinal: isDamage,
      onError: (id, err) => options.logger.warn({ err, checkpointId: id }, 'remote copy'),
      work: (id, signal) => this.#flush(id, signal),
    })
  }

  /** Queues pending work of a former run. */
  async resume(): Promise<void> {
    const { index } = this.#options
    for (const id of await index.deletingIds()) this.#queue.add(id)
    const known = new Set([...(await index.localIds()), ...(await index.remoteIds())])
    for (const id of known)
      if (!(await index.hasRemote(id)) || (await this.#formerOf(id)).length > 0) this.#queue.add(id)
  }

  /** Queues a checkpoint that has changed on this machine. */
  markDirty(id: string): void {
    this.#queue.add(id)
  }

  /** Ends a running upload. */
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
   * Deletes chunks that no checkpoint of any machine needs. Chunks of the last 24 hours are kept, because they may belong
   * to an upload. It is enough when one of the machines that share the store does this.
   */
  async collectGarbage(isDryRun: boolean): Promise<GarbageReport> {
    const { index, remote } = this.#options
    const unmodifiedSinceMs = Date.now() - REMOTE_GRACE_MS
    const total: GarbageReport = { chunks: 0, bytes: 0, keptChunks: 0, keptBytes: 0 }
    for (const store of [remote, ...remote.former]) {
      const marked = await mark(index.allLocal(), new Set(), store.blind)
      await mark(this.#allIn(store), marked, store.blind)
      const report = await sweep(store, { marked, unmodifiedSinceMs, isDryRun })
      for (const what of ['chunks', 'bytes', 'keptChunks', 'keptBytes'] as const) total[what] += report[what]
    }
    return total
  }

  close(): Promise<void> {
    return this.#queue.close()
  }

  async #flush(id: string, signal: AbortSignal): Promise<void> {
    const { index, remote } = this.#options
    if (await index.isDeleting(id)) {
      await index.removeLocal(id)
      if (!(await this.claims.hasOtherClaims(id)))
        for (const store of [remote, ...(await this.#formerOf(id))]) await store.delete(manifestKey(id))
      await this.claims.release(id)
      await index.removeRemote(id)
      await index.endDelete(id)
      return
    }
    if (!(await index.hasRemote(id))) {
      const checkpoint = (await index.local(id)) ?? (await this.#bring(id, signal))
      if (!checkpoint) return
      await this.#upload(checkpoint, signal)
    }
    await this.#forgetFormer(id)
  }

  /** Returns views of the store in which the checkpoint is sealed with a former key, or unsealed. */
  async #formerOf(id: string): Promise<RemoteStore[]> {
    const { index, remote } = this.#options
    const having: RemoteStore[] = []
    for (const store of remote.former) if (await index.hasRemoteWith(store.keyId, id)) having.push(store)
    return having
  }

  async #bring(id: string, signal: AbortSignal): Promise<PackedCheckpoint | undefined> {
    const { index, bringHere } = this.#options
    const checkpoint = await index.remote(id)
    if (checkpoint) await bringHere(checkpoint, signal)
    return checkpoint
  }

  /** Deletes manifests under former keys; their chunks become garbage. */
  async #forgetFormer(id: string): Promise<void> {
    for (const store of await this.#formerOf(id)) {
      await store.delete(manifestKey(id))
      await this.#options.index.removeRemoteWith(store.keyId, id)
    }
  }

  async #upload(checkpoint: PackedCheckpoint, signal: AbortSignal): Promise<void> {
    const { index, local, remote, onUploaded } = this.#options
    const progress = { uploadedChunks: 0, totalChunks: chunksOf(checkpoint).size }
    this.#progress.set(checkpoint.id, progress)
    try {
      const onChunk = () => progress.uploadedChunks++
      await uploadCheckpoint(local, remote, checkpoint, { signal, onChunk })
      await index.addRemote(checkpoint)
    } finally {
      this.#progress.delete(checkpoint.id)
    }
    onUploaded()
  }

  async *#allIn(store: RemoteStore): AsyncIterable<PackedCheckpoint> {
    const { index } = this.#options
    for await (const { key } of store.list(MANIFESTS_PREFIX)) {
      const id = idOfKey(key)
      // manifests never change, so the local copy saves a request
      const checkpoint =
        (await index.remoteWith(store.keyId, id).catch(() => undefined)) ?? (await fetchManifest(store, id))
      if (checkpoint) yield checkpoint
    }
  }
}
