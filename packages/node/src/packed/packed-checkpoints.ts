import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import type { GarbageReport, UsageReport } from '@sandlot/protocol/node'
import type { Logger } from 'pino'
import { createFolderStore } from '../objects/folder-store.ts'
import { checkId, manifestKey } from '../objects/object-store.ts'
import type { RemoteStore } from '../objects/sealed-store.ts'
import { createExpander } from './expander.ts'
import { InUse, type Use } from './in-use.ts'
import { LocalCopies } from './local-copies.ts'
import { isDamage, logicalBytes, type PackedCheckpoint } from './manifest.ts'
import { ManifestIndex } from './manifest-index.ts'
import type { PackResult } from './pack-folder.ts'
import { createPacker } from './packer.ts'
import { readPackedFile } from './read-file.ts'
import { RemoteCopies } from './remote-copies.ts'
import { type FetchOptions, fetchChunks, fetchManifest } from './remote-copy.ts'
import { usageOf } from './usage.ts'

const LOCAL_GRACE_MS = 10 * 60_000
const UPLOAD_WAIT_MS = 10 * 60_000

export interface CheckpointsOptions {
  /** Folder of its own; made when missing. One server at a time. */
  dir: string
  /** Where copies go, e.g. `sealBucket(createS3Store(…), [secret])`; closed by `close`. Absent: this machine only. */
  remote?: RemoteStore
  /** Bytes of chunks to keep here once they are in the remote store. Default: all. Without `remote` nothing is evicted. */
  cacheBytes?: number
  logger: Logger
  /** Garbage younger than this stays. Default 10 minutes. */
  graceMs?: number
  /** Pause before a failed upload is tried again; doubles up to a minute. Default 1000 ms. */
  firstRetryMs?: number
}

/** Where a checkpoint is. */
export interface UploadState {
  /** `local`: only here, and it stays so (no remote store, or it failed for good: `lastError`). `uploading`: here, under way or waiting for another attempt. `remote`: safe in the remote store. */
  state: 'local' | 'uploading' | 'remote'
  /** Can be expanded without the remote store. */
  isLocal: boolean
  /** While `uploading`: chunks that are there of those that must be. */
  uploadedChunks?: number
  totalChunks?: number
  attempts?: number
  lastError?: string
}

/**
 * Packed checkpoints. Ids are 1 to 100 letters, digits, `_` and `-`, and are never used for other content again.
 * All methods throw SandlotError: `invalid_request` (an id that is not one), `disk_full`, `server_draining` (closed),
 * and what is said with each.
 *
 * @example
 * const checkpoints = await createCheckpoints({ dir: '/var/lib/sandlot/packed', logger })
 * await checkpoints.pack('pause-1', '/var/lib/sandlot/checkpoints/pause-1')
 * await checkpoints.expand('pause-1', '/var/lib/sandlot/checkpoints/again')
 */
export interface Checkpoints {
  /**
   * Packs a folder of files at idle priority; when it resolves, the folder may be deleted. Then uploads in the
   * background. Packing an id that is packed already does nothing.
   * @throws conflict (the id is being or was deleted), rate_limited, operation_timeout
   */
  pack(id: string, rawDir: string): Promise<PackResult>
  /**
   * Writes the files into `targetDir`, which must not exist and appears when it is complete (a crash
   * leaves `.writing-*` beside it). Fetches what is not here;
   * chunks that are damaged here are mended from the remote store.
   * @throws not_found, conflict (`targetDir` exists), checkpoint_damaged (which chunk of which file, and how),
   * checkpoint_store_unavailable, rate_limited, operation_timeout
   */
  expand(id: string, targetDir: string): Promise<void>
  /**
   * One small file of a checkpoint that is here, without unpacking it.
   * @returns undefined: it is not here, or has no such file @throws checkpoint_damaged
   */
  readFile(id: string, name: string): Promise<Buffer | undefined>
  /**
   * From now on the id does not exist, here and, as soon as it answers and unless another machine has learned it, in the
   * remote store. A pack of it ends with
   * `conflict`; expansions of it that are under way are waited for. Its bytes are free after the next `gc`.
   */
  delete(id: string): Promise<void>
  /**
   * Makes known what another machine has put into the remote store; it is fetched when it is expanded, and no other
   * machine deletes it there from now on.
   * @throws not_found, checkpoint_damaged, checkpoint_store_unavailable
   */
  learn(id: string): Promise<void>
  /** The id does not exist here any more; what is in the remote store is for the machine that has it now. */
  leave(id: string): Promise<void>
  /** All that this machine has or has put into the remote store. */
  list(): Promise<string[]>
  /** @throws checkpoint_store_unavailable when it is not here and the remote store does not answer */
  has(id: string): Promise<boolean>
  /** Among all checkpoints that this machine knows. */
  usage(ids: readonly string[]): Promise<UsageReport>
  /**
   * Deletes chunks that no checkpoint needs, or says what it would delete. `remote`: in the remote store, for all
   * machines that share it. `isUrgent`: here, also what became garbage a moment ago.
   * @throws checkpoint_damaged when a manifest is: then nothing is deleted, since what it needs is not known
   */
  gc(options: { isDryRun: boolean; where?: 'local' | 'remote'; isUrgent?: boolean }): Promise<GarbageReport>
  /** @throws not_found */
  uploadState(id: string): Promise<UploadState>
  /** Resolves when the upload (or the deletion) has ended, for good or ill, or after the time. Default 10 minutes. */
  whenUploaded(id: string, timeoutMs?: number): Promise<UploadState>
  /** Ends what is under way; the next start goes on with it. */
  close(): Promise<void>
}

export async function createCheckpoints(options: CheckpointsOptions): Promise<Checkpoints> {
  const { dir, remote, logger, graceMs = LOCAL_GRACE_MS } = options
  const store = await createFolderStore(dir)
  await store.recover()
  const catalog = await ManifestIndex.open(store, remote?.keyId)
  const inUse = new InUse()
  const packer = createPacker(dir)
  const expander = createExpander(dir)
  const budgetBytes = remote && options.cacheBytes
  const copies = new LocalCopies({ store, catalog, inUse, budgetBytes })
  const packing = new Map<string, Promise<PackResult>>()
  const fetching = new Map<string, Promise<void>>()
  const uploads =
    remote &&
    new RemoteCopies({
      local: store,
      remote,
      catalog,
      logger,
      firstRetryMs: options.firstRetryMs,
      bringHere: (checkpoint, signal) =>
        use(checkpoint.id, async (entry) => {
          entry.pin(checkpoint)
          // not shared with an expansion, which goes on when this is told to stop
          await fetch(checkpoint, { isMending: false, signal })
        }),
      onUploaded: () => trimSoon(copies.trim()),
    })
  let isClosed = false

  /** Over the budget is no reason to fail what has just succeeded. */
  function trimSoon(trimming: Promise<void>): void {
    trimming.catch((err) => logger.warn({ err }, 'evicting local copies of checkpoints'))
  }

  async function finishDeletes(): Promise<void> {
    for (const id of await catalog.deletingIds()) await removeHere(id)
  }

  /** Without a remote store a copy there cannot be deleted: that stays owed until there is one. */
  async function removeHere(id: string): Promise<void> {
    await catalog.removeLocal(id)
    if (!remote && !(await catalog.hasAnyRemote(id))) await catalog.endDelete(id)
  }

  function checkOpen(id: string): void {
    if (isClosed) throw new SandlotError('server_draining', 'the server is shutting down')
    checkId(id)
  }

  async function use<T>(id: string, work: (use: Use) => Promise<T>): Promise<T> {
    const entry = inUse.begin(id)
    try {
      return await work(entry)
    } finally {
      entry.end()
    }
  }

  /** Callers that come together share one run. */
  function once<T>(running: Map<string, Promise<T>>, id: string, work: () => Promise<T>): Promise<T> {
    const known = running.get(id)
    if (known) return known
    const run = work().finally(() => running.delete(id))
    running.set(id, run)
    return run
  }

  function pack(id: string, rawDir: string): Promise<PackResult> {
    return use(id, async () => {
      if (await catalog.isDeleting(id))
        throw new SandlotError(
          'conflict',
          `checkpoint '${id}' is being deleted; its id cannot be used again yet`,
        )
      // a damaged manifest is written anew: what it described is at hand
      const known = (await catalog.local(id).catch(() => undefined)) ?? (await catalog.remote(id))
      if (known) return { logicalBytes: logicalBytes(known), addedBytes: 0, chunks: 0, addedChunks: 0 }
      const result = await packer.pack(id, rawDir)
      uploads?.align(id)
      trimSoon(copies.added(result.addedBytes))
      return result
    })
  }

  /** The manifest here, if there is one that can be read or no other. */
  async function manifestHere(id: string): Promise<PackedCheckpoint | undefined> {
    try {
      return await catalog.local(id)
    } catch (err) {
      if (!remote || !isDamage(err)) throw err
      logger.warn({ err, checkpointId: id }, 'taking the manifest of the remote store')
      return undefined
    }
  }

  async function manifestThere(id: string): Promise<PackedCheckpoint | undefined> {
    if (!remote) return undefined
    const known = await catalog.remote(id).catch(() => undefined)
    if (known) return known
    const fetched = await fetchManifest(remote, id)
    if (fetched) await catalog.addRemote(fetched)
    return fetched
  }

  /** Makes it complete here. */
  async function fetch(checkpoint: PackedCheckpoint, options: FetchOptions): Promise<void> {
    const sources = [remote!, ...remote!.former]
    const { addedBytes } = await fetchChunks(store, sources, checkpoint, options).catch(async (error) => {
      throw isDamage(error) ? await explained(checkpoint.id, error) : error
    })
    await catalog.addLocal(checkpoint)
    trimSoon(copies.added(addedBytes))
  }

  /** What is missing may only be unreadable. */
  async function explained(id: string, damage: SandlotError): Promise<SandlotError> {
    const keyIds = await catalog.keyIdsOf(id)
    const isKnown = [remote!, ...remote!.former].some(({ keyId }) => keyIds.includes(keyId))
    if (isKnown || keyIds.length === 0) return damage
    return new SandlotError(
      'checkpoint_damaged',
      `checkpoint '${id}' is in ${remote!.name} under another secret (key ${keyIds.join(', ')}): set checkpointSecret to what it was when it was saved`,
      { cause: damage },
    )
  }

  async function mended(checkpoint: PackedCheckpoint, damage: SandlotError): Promise<void> {
    logger.warn({ err: damage, checkpointId: checkpoint.id }, 'mending a checkpoint from the remote store')
    try {
      await once(fetching, `mending ${checkpoint.id}`, () => fetch(checkpoint, { isMending: true }))
      uploads?.align(checkpoint.id)
    } catch (err) {
      logger.warn({ err, checkpointId: checkpoint.id }, 'the remote store could not mend a checkpoint')
      throw damage
    }
  }

  async function stateOf(id: string): Promise<UploadState> {
    const isDeleting = await catalog.isDeleting(id)
    const isLocal = !isDeleting && (await catalog.hasLocal(id))
    if (!isDeleting && (await catalog.hasRemote(id))) return { state: 'remote', isLocal }
    if (isLocal) {
      const progress = uploads?.progress(id)
      if (!progress) return { state: 'local', isLocal }
      const { attempts, uploadedChunks, totalChunks, lastError, isFailed } = progress
      const error = lastError instanceof Error ? lastError.message : undefined
      if (isFailed) return { state: 'local', isLocal, attempts, lastError: error }
      return { state: 'uploading', isLocal, attempts, uploadedChunks, totalChunks, lastError: error }
    }
    if (!isDeleting && ((await catalog.hasAnyRemote(id)) || (await remote?.head(manifestKey(id)))))
      return { state: 'remote', isLocal }
    throw notFound(id)
  }

  await finishDeletes()
  await uploads?.resume()

  return {
    async pack(id, rawDir) {
      checkOpen(id)
      return once(packing, id, () => pack(id, rawDir))
    },

    async expand(id, targetDir) {
      checkOpen(id)
      await use(id, async (entry) => {
        if (await catalog.isDeleting(id)) throw notFound(id)
        const here = await manifestHere(id)
        const checkpoint = here ?? (await manifestThere(id))
        if (!checkpoint) throw notFound(id)
        entry.pin(checkpoint)
        if (here) await catalog.markUsed(id)
        else await once(fetching, id, () => fetch(checkpoint, { isMending: false }))
        try {
          await expander.expand(checkpoint, targetDir)
        } catch (error) {
          if (!remote || !isDamage(error)) throw error
          await mended(checkpoint, error)
          await expander.expand(checkpoint, targetDir)
        }
      })
    },

    async readFile(id, name) {
      checkOpen(id)
      return use(id, async (entry) => {
        const checkpoint = (await catalog.isDeleting(id)) ? undefined : await manifestHere(id)
        if (!checkpoint) return undefined
        entry.pin(checkpoint)
        return readPackedFile(store, checkpoint, name)
      })
    },

    async delete(id) {
      checkOpen(id)
      await catalog.beginDelete(id)
      packer.cancel(id)
      await uploads?.stop(id)
      await inUse.whenIdle(id)
      await removeHere(id)
      uploads?.align(id)
    },

    async learn(id) {
      checkOpen(id)
      if (!remote || !uploads) throw notFound(id)
      await uploads.claims.claim(id)
      const checkpoint = await fetchManifest(remote, id)
      if (!checkpoint) {
        await uploads.claims.release(id)
        throw notFound(id)
      }
      await catalog.addRemote(checkpoint)
    },

    async leave(id) {
      checkOpen(id)
      packer.cancel(id)
      await uploads?.stop(id)
      await inUse.whenIdle(id)
      await uploads?.claims.release(id)
      await catalog.removeLocal(id)
      await catalog.removeRemote(id)
    },

    async list() {
      const deleting = new Set(await catalog.deletingIds())
      const known = new Set([...(await catalog.localIds()), ...(await catalog.remoteIds())])
      return [...known].filter((id) => !deleting.has(id))
    },

    async has(id) {
      checkOpen(id)
      if (await catalog.isDeleting(id)) return false
      if ((await catalog.hasLocal(id)) || (await catalog.hasAnyRemote(id))) return true
      return (await remote?.head(manifestKey(id))) !== undefined
    },

    async usage(ids) {
      for (const id of ids) checkOpen(id)
      return usageOf(ids, catalog.all())
    },

    async gc({ isDryRun, where = 'local', isUrgent = false }) {
      if (isClosed) throw new SandlotError('server_draining', 'the server is shutting down')
      if (where === 'local') return copies.collectGarbage(isDryRun, isUrgent ? 0 : graceMs)
      if (!uploads)
        throw new SandlotError(
          'invalid_request',
          'there is no remote store of checkpoints to collect garbage in',
        )
      return uploads.collectGarbage(isDryRun)
    },

    async uploadState(id) {
      checkOpen(id)
      return stateOf(id)
    },

    async whenUploaded(id, timeoutMs = UPLOAD_WAIT_MS) {
      checkOpen(id)
      const timer = new AbortController()
      await Promise.race([
        uploads?.whenSettled(id),
        sleep(timeoutMs, undefined, { signal: timer.signal }).catch(() => {}),
      ])
      timer.abort()
      return stateOf(id)
    },

    async close() {
      isClosed = true
      const stopping = uploads?.close()
      remote?.close()
      await stopping
      await packer.close()
      await expander.close()
      await copies.settle()
    },
  }
}

const notFound = (id: string): SandlotError =>
  new SandlotError('not_found', `checkpoint '${id}' does not exist`)
