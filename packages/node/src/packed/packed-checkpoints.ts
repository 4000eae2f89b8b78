import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import type { GarbageReport, UsageReport } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import { FolderStore } from '../objects/folder-store.ts'
import { checkId, manifestKey } from '../objects/object-store.ts'
import type { RemoteStore } from '../objects/sealed-store.ts'
import { Expander } from './expander.ts'
import { InUse, type Use } from './in-use.ts'
import { LocalCopies } from './local-copies.ts'
import { isDamage, logicalBytes } from './manifest.ts'
import { ManifestIndex } from './manifest-index.ts'
import { MissingChunks } from './missing-chunks.ts'
import type { PackResult } from './pack-folder.ts'
import { Packer } from './packer.ts'
import { readPackedFile } from './read-file.ts'
import { RemoteCopies } from './remote-copies.ts'
import { fetchManifest } from './remote-copy.ts'
import { SharedRuns } from './shared-runs.ts'
import { type UploadState, uploadStateOf } from './upload-state.ts'
import { usageOf } from './usage.ts'

const LOCAL_GRACE_MS = 10 * 60_000
const UPLOAD_WAIT_MS = 10 * 60_000

export interface PackedCheckpointsOptions {
  /** Folder for packed checkpoints only, created when missing. Only one server may use it at a time. */
  dir: string
  /**
   * Store for copies, e.g. `sealBucket(new S3Store(…), [secret])`; closed by `close`. Absent: checkpoints stay on this
   * machine.
   */
  remote?: RemoteStore
  /**
   * Bytes of chunks to keep on this machine once they are in the remote store. Default: all. Without `remote` nothing
   * is evicted.
   */
  cacheBytes?: number
  logger: Logger
  /** Younger garbage is kept. Default 10 minutes. */
  graceMs?: number
  /** Delay before the first retry of a failed upload; doubles up to a minute. Default 1000 ms. */
  firstRetryMs?: number
}

/**
 * Packed checkpoints. Ids are 1 to 100 letters, digits, `_` and `-`, and are never used again for other content.
 * Every method throws SandlotError: `invalid_request` (malformed id), `disk_full`, `server_draining` (closed), and
 * the codes listed at the method.
 *
 * @example
 * const checkpoints = await PackedCheckpoints.open({ dir: '/var/lib/sandlot/packed', logger })
 * await checkpoints.pack('pause-1', '/var/lib/sandlot/checkpoints/pause-1')
 * await checkpoints.expand('pause-1', '/var/lib/sandlot/checkpoints/again')
 */
export class PackedCheckpoints {
  readonly #store: FolderStore
  readonly #index: ManifestIndex
  readonly #remote: RemoteStore | undefined
  readonly #uploads: RemoteCopies | undefined
  readonly #logger: Logger
  readonly #graceMs: number
  readonly #inUse = new InUse()
  readonly #packer: Packer
  readonly #expander: Expander
  readonly #localCopies: LocalCopies
  readonly #missing: MissingChunks
  readonly #packs = new SharedRuns<PackResult>()
  #isClosed = false

  private constructor(options: PackedCheckpointsOptions, store: FolderStore, index: ManifestIndex) {
    const { dir, remote, logger, graceMs = LOCAL_GRACE_MS } = options
    this.#store = store
    this.#index = index
    this.#remote = remote
    this.#logger = logger
    this.#graceMs = graceMs
    this.#packer = new Packer(dir)
    this.#expander = new Expander(dir)
    const budgetBytes = remote && options.cacheBytes
    this.#localCopies = new LocalCopies({ store, index, inUse: this.#inUse, budgetBytes })
    const onAdded = (bytes: number) => this.#trimInBackground(this.#localCopies.added(bytes))
    this.#missing = new MissingChunks({ store, index, remote, logger, onAdded })
    this.#uploads = remote && this.#startUploads(remote, options.firstRetryMs)
  }

  /** Opens the folder, finishes deletions that a former server began, and resumes pending uploads. */
  static async open(options: PackedCheckpointsOptions): Promise<PackedCheckpoints> {
    const store = await FolderStore.open(options.dir)
    await store.recover()
    const index = await ManifestIndex.open(store, options.remote?.keyId)
    const checkpoints = new PackedCheckpoints(options, store, index)
    for (const id of await index.deletingIds()) await checkpoints.#removeLocal(id)
    await checkpoints.#uploads?.resume()
    return checkpoints
  }

  /**
   * Packs a folder of files at idle priority; the folder may be deleted when the promise resolves. The upload follows
   * in the background. Packing an id that is already packed does nothing.
   * @throws conflict (the id is being or was deleted), rate_limited, operation_timeout
   */
  async pack(id: string, rawDir: string): Promise<PackResult> {
    this.#checkOpen(id)
    return this.#packs.run(id, () => this.#use(id, () => this.#pack(id, rawDir)))
  }

  /**
   * Writes the files into `targetDir`, which must not exist and appears when it is complete (a crash leaves
   * `.writing-*` beside it). Missing chunks are fetched from the remote store, and damaged ones replaced from there.
   * @throws not_found, conflict (`targetDir` exists), checkpoint_damaged (which chunk of which file, and how),
   * checkpoint_store_unavailable, rate_limited, operation_timeout
   */
  async expand(id: string, targetDir: string): Promise<void> {
    this.#checkOpen(id)
    await this.#use(id, async (use) => {
      if (await this.#index.isDeleting(id)) throw notFound(id)
      const local = await this.#missing.localManifest(id)
      const checkpoint = local ?? (await this.#missing.remoteManifest(id))
      if (!checkpoint) throw notFound(id)
      use.pin(checkpoint)
      if (local) await this.#index.markUsed(id)
      else await this.#missing.fetchShared(checkpoint)
      try {
        await this.#expander.expand(checkpoint, targetDir)
      } catch (error) {
        if (!this.#remote || !isDamage(error)) throw error
        await this.#missing.mend(checkpoint, error)
        this.#uploads?.markDirty(id)
        await this.#expander.expand(checkpoint, targetDir)
      }
    })
  }

  /**
   * Reads one small file of a checkpoint that is on this machine, without unpacking the rest.
   * @returns undefined when the checkpoint is not on this machine or has no such file
   * @throws checkpoint_damaged
   */
  async readFile(id: string, name: string): Promise<Buffer | undefined> {
    this.#checkOpen(id)
    return this.#use(id, async (use) => {
      const isDeleting = await this.#index.isDeleting(id)
      const checkpoint = isDeleting ? undefined : await this.#missing.localManifest(id)
      if (!checkpoint) return undefined
      use.pin(checkpoint)
      return readPackedFile(this.#store, checkpoint, name)
    })
  }

  /**
   * Deletes the checkpoint on this machine and, as soon as the remote store answers and unless another machine has
   * learned the id, in the remote store. A running `pack` of the id ends with `conflict`; running expansions are
   * awaited. The bytes become free with the next `collectGarbage`.
   */
  async delete(id: string): Promise<void> {
    this.#checkOpen(id)
    await this.#index.beginDelete(id)
    await this.#stopWork(id)
    await this.#removeLocal(id)
    this.#uploads?.markDirty(id)
  }

  /**
   * Makes a checkpoint known that another machine has uploaded. The checkpoint is fetched when it is expanded, and other
   * machines no longer delete it.
   * @throws not_found, checkpoint_damaged, checkpoint_store_unavailable
   */
  async learn(id: string): Promise<void> {
    this.#checkOpen(id)
    if (!this.#remote || !this.#uploads) throw notFound(id)
    await this.#uploads.claims.claim(id)
    const checkpoint = await fetchManifest(this.#remote, id)
    if (!checkpoint) {
      await this.#uploads.claims.release(id)
      throw notFound(id)
    }
    await this.#index.addRemote(checkpoint)
  }

  /** Removes the checkpoint from this machine after a takeover; the copy in the remote store belongs to the new owner. */
  async dropLocal(id: string): Promise<void> {
    this.#checkOpen(id)
    await this.#stopWork(id)
    await this.#uploads?.claims.release(id)
    await this.#index.removeLocal(id)
    await this.#index.removeRemote(id)
  }

  /** Ids of all checkpoints that this machine has or has put into the remote store. */
  async list(): Promise<string[]> {
    const deleting = new Set(await this.#index.deletingIds())
    const known = new Set([...(await this.#index.localIds()), ...(await this.#index.remoteIds())])
    return [...known].filter((id) => !deleting.has(id))
  }

  /**
   * @throws checkpoint_store_unavailable when the checkpoint is not on this machine and the remote store does not answer
   */
  async has(id: string): Promise<boolean> {
    this.#checkOpen(id)
    if (await this.#index.isDeleting(id)) return false
    if ((await this.#index.hasLocal(id)) || (await this.#index.hasAnyRemote(id))) return true
    return (await this.#remote?.head(manifestKey(id))) !== undefined
  }

  /** Usage of some checkpoints among all that this machine knows. */
  async usage(ids: readonly string[]): Promise<UsageReport> {
    for (const id of ids) this.#checkOpen(id)
    return usageOf(ids, this.#index.all())
  }

  /**
   * Deletes chunks that no checkpoint needs; a dry run reports them only.
   * @param options.where `remote`: in the remote store, for all machines that share it
   * @param options.isUrgent also deletes garbage on this machine that is younger than the grace period
   * @throws checkpoint_damaged when a manifest is damaged: nothing is deleted, since its needs are unknown
   */
  async collectGarbage(options: {
    isDryRun: boolean
    where?: 'local' | 'remote'
    isUrgent?: boolean
  }): Promise<GarbageReport> {
    const { isDryRun, where = 'local', isUrgent = false } = options
    if (this.#isClosed) throw draining()
    if (where === 'local') return this.#localCopies.collectGarbage(isDryRun, isUrgent ? 0 : this.#graceMs)
    if (!this.#uploads)
      throw new SandlotError(
        'invalid_request',
        'there is no remote store of checkpoints to collect garbage in',
      )
    return this.#uploads.collectGarbage(isDryRun)
  }

  /** @throws not_found */
  async uploadState(id: string): Promise<UploadState> {
    this.#checkOpen(id)
    return this.#uploadState(id)
  }

  /** Resolves when the upload (or the deletion) has succeeded or failed for good, or after the time. Default 10 minutes. */
  async whenUploaded(id: string, timeoutMs = UPLOAD_WAIT_MS): Promise<UploadState> {
    this.#checkOpen(id)
    const timer = new AbortController()
    await Promise.race([
      this.#uploads?.whenSettled(id),
      sleep(timeoutMs, undefined, { signal: timer.signal }).catch(() => {}),
    ])
    timer.abort()
    return this.#uploadState(id)
  }

  /** Ends running work; the next start resumes it. */
  async close(): Promise<void> {
    this.#isClosed = true
    const stopping = this.#uploads?.close()
    this.#remote?.close()
    await stopping
    await this.#packer.close()
    await this.#expander.close()
    await this.#localCopies.settle()
  }

  async #pack(id: string, rawDir: string): Promise<PackResult> {
    if (await this.#index.isDeleting(id))
      throw new SandlotError(
        'conflict',
        `checkpoint '${id}' is being deleted; its id cannot be used again yet`,
      )
    // a damaged manifest is written again, because the files are available
    const known = (await this.#index.local(id).catch(() => undefined)) ?? (await this.#index.remote(id))
    if (known) return { logicalBytes: logicalBytes(known), addedBytes: 0, chunks: 0, addedChunks: 0 }
    const result = await this.#packer.pack(id, rawDir)
    this.#uploads?.markDirty(id)
    this.#trimInBackground(this.#localCopies.added(result.addedBytes))
    return result
  }

  async #uploadState(id: string): Promise<UploadState> {
    const sources = { index: this.#index, remote: this.#remote, uploads: this.#uploads }
    const state = await uploadStateOf(id, sources)
    if (!state) throw notFound(id)
    return state
  }

  #startUploads(remote: RemoteStore, firstRetryMs: number | undefined): RemoteCopies {
    return new RemoteCopies({
      local: this.#store,
      remote,
      index: this.#index,
      logger: this.#logger,
      firstRetryMs,
      bringHere: (checkpoint, signal) =>
        this.#use(checkpoint.id, async (use) => {
          use.pin(checkpoint)
          // not shared with an expansion, because that must continue when this fetch is aborted
          await this.#missing.fetch(checkpoint, { isMending: false, signal })
        }),
      onUploaded: () => this.#trimInBackground(this.#localCopies.trim()),
    })
  }

  async #stopWork(id: string): Promise<void> {
    this.#packer.cancel(id)
    await this.#uploads?.stop(id)
    await this.#inUse.whenIdle(id)
  }

  /** The deletion of a remote copy stays pending while no remote store is configured. */
  async #removeLocal(id: string): Promise<void> {
    await this.#index.removeLocal(id)
    if (!this.#remote && !(await this.#index.hasAnyRemote(id))) await this.#index.endDelete(id)
  }

  /** Evicts in the background, because a failed eviction must not fail the operation before it. */
  #trimInBackground(trimming: Promise<void>): void {
    trimming.catch((err) => this.#logger.warn({ err }, 'evicting local copies of checkpoints'))
  }

  async #use<T>(id: string, work: (use: Use) => Promise<T>): Promise<T> {
    const use = this.#inUse.begin(id)
    try {
      return await work(use)
    } finally {
      use.end()
    }
  }

  #checkOpen(id: string): void {
    if (this.#isClosed) throw draining()
    checkId(id)
  }
}

const draining = (): SandlotError => new SandlotError('server_draining', 'the server is shutting down')

const notFound = (id: string): SandlotError =>
  new SandlotError('not_found', `checkpoint '${id}' does not exist`)
