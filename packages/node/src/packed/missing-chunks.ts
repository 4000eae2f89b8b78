import { SandlotError } from '@sandlot/protocol'
import type { Logger } from 'pino'
import type { FolderStore } from '../objects/folder-store.ts'
import type { RemoteStore } from '../objects/sealed-store.ts'
import { isDamage, type PackedCheckpoint } from './manifest.ts'
import type { ManifestIndex } from './manifest-index.ts'
import { type FetchOptions, fetchChunks, fetchManifest } from './remote-copy.ts'
import { SharedRuns } from './shared-runs.ts'

export interface MissingChunksOptions {
  store: FolderStore
  index: ManifestIndex
  /** Absent: nothing can be fetched. */
  remote?: RemoteStore
  logger: Logger
  /** Called with the bytes that a fetch has added to `store`. */
  onAdded: (bytes: number) => void
}

/** Fetches chunks and manifests from the remote store that are missing or damaged on this machine. */
export class MissingChunks {
  readonly #options: MissingChunksOptions
  readonly #fetches = new SharedRuns<void>()

  constructor(options: MissingChunksOptions) {
    this.#options = options
  }

  /**
   * Reads the manifest of a checkpoint that is complete on this machine.
   * @returns undefined when there is none, or the remote store may replace a damaged one
   * @throws SandlotError checkpoint_damaged when there is no remote store
   */
  async localManifest(id: string): Promise<PackedCheckpoint | undefined> {
    const { index, remote, logger } = this.#options
    try {
      return await index.local(id)
    } catch (err) {
      if (!remote || !isDamage(err)) throw err
      logger.warn(
        { err, checkpointId: id },
        'the local manifest is damaged: using the one in the remote store',
      )
      return undefined
    }
  }

  /** @returns undefined when the remote store has no such checkpoint, or there is no remote store */
  async remoteManifest(id: string): Promise<PackedCheckpoint | undefined> {
    const { index, remote } = this.#options
    if (!remote) return undefined
    const known = await index.remote(id).catch(() => undefined)
    if (known) return known
    const fetched = await fetchManifest(remote, id)
    if (fetched) await index.addRemote(fetched)
    return fetched
  }

  /** Fetches the missing chunks; concurrent callers for one checkpoint share a run. */
  fetchShared(checkpoint: PackedCheckpoint): Promise<void> {
    return this.#fetches.run(checkpoint.id, () => this.fetch(checkpoint, { isMending: false }))
  }

  /** Makes the checkpoint complete on this machine. */
  async fetch(checkpoint: PackedCheckpoint, options: FetchOptions): Promise<void> {
    const { store, index, onAdded } = this.#options
    const { addedBytes } = await fetchChunks(store, this.#sources(), checkpoint, options).catch(
      async (error) => {
        throw isDamage(error) ? await this.#explain(checkpoint.id, error) : error
      },
    )
    await index.addLocal(checkpoint)
    onAdded(addedBytes)
  }

  /** Replaces damaged chunks. @throws `damage` when the remote store cannot replace them */
  async mend(checkpoint: PackedCheckpoint, damage: SandlotError): Promise<void> {
    const { logger } = this.#options
    logger.warn({ err: damage, checkpointId: checkpoint.id }, 'repairing a checkpoint from the remote store')
    try {
      await this.#fetches.run(`repairing ${checkpoint.id}`, () => this.fetch(checkpoint, { isMending: true }))
    } catch (err) {
      logger.warn(
        { err, checkpointId: checkpoint.id },
        'a checkpoint could not be repaired from the remote store',
      )
      throw damage
    }
  }

  #sources(): RemoteStore[] {
    const { remote } = this.#options
    return remote ? [remote, ...remote.former] : []
  }

  /** Explains damage: chunks that seem to be missing may be sealed with a key that this machine does not have. */
  async #explain(id: string, damage: SandlotError): Promise<SandlotError> {
    const keyIds = await this.#options.index.keyIdsOf(id)
    const isReadable = this.#sources().some(({ keyId }) => keyIds.includes(keyId))
    if (isReadable || keyIds.length === 0) return damage
    return new SandlotError(
      'checkpoint_damaged',
      `checkpoint '${id}' is in ${this.#options.remote!.name} under another secret (key ${keyIds.join(', ')}): set checkpointSecret to the value it had when the checkpoint was saved`,
      { cause: damage },
    )
  }
}
