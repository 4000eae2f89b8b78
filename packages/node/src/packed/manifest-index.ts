import type { FolderStore } from '../objects/folder-store.ts'
import { idOfKey, MANIFESTS_PREFIX, manifestKey } from '../objects/object-store.ts'
import { PLAIN } from '../objects/sealed-store.ts'
import { decodeManifest, encodeManifest, isDamage, type PackedCheckpoint } from './manifest.ts'

const PLAIN_PREFIX = 'remote/'
const UPLOADED_PREFIX = 'uploaded/'
const DELETING_PREFIX = 'deleting/'
/** Folder for manifests of checkpoints in the remote store, sealed with this key; `remote/` for unsealed ones. */
const folderOf = (keyId: string) => (keyId === PLAIN ? PLAIN_PREFIX : `${UPLOADED_PREFIX}${keyId}/`)
const CLAIMED_PREFIX = 'claimed/'
const deletingKey = (id: string) => `${DELETING_PREFIX}${id}`

/**
 * Records where checkpoints are stored, entirely in files: `checkpoints/<id>.json`, all chunks are on this machine;
 * `uploaded/<key id>/<id>.json`, all chunks are in the remote store, sealed with that key (`remote/<id>.json`: unsealed,
 * by an earlier version); `claimed/<id>`, name of this machine's claim on another machine's upload; `deleting/<id>`, a
 * pending deletion.
 */
export class ManifestIndex {
  readonly #store: FolderStore
  /** Key that the remote store is written with now; undefined without a remote store. */
  readonly #keyId: string | undefined
  readonly #keyIds: ReadonlySet<string>

  private constructor(store: FolderStore, keyId: string | undefined, keyIds: ReadonlySet<string>) {
    this.#store = store
    this.#keyId = keyId
    this.#keyIds = keyIds
  }

  /** @param keyId key of the remote store, if there is one */
  static async open(store: FolderStore, keyId: string | undefined): Promise<ManifestIndex> {
    const keyIds = new Set(keyId === undefined ? [PLAIN] : [keyId, PLAIN])
    for await (const { key } of store.list(UPLOADED_PREFIX)) keyIds.add(key.split('/')[1]!)
    return new ManifestIndex(store, keyId, keyIds)
  }

  /** @throws SandlotError checkpoint_damaged when the manifest is damaged */
  local(id: string): Promise<PackedCheckpoint | undefined> {
    return this.#read(id, manifestKey(id))
  }

  async hasLocal(id: string): Promise<boolean> {
    return (await this.#store.head(manifestKey(id))) !== undefined
  }

  localIds(): Promise<string[]> {
    return this.#ids(MANIFESTS_PREFIX)
  }

  /** Least recently used first. */
  async localIdsByUse(): Promise<string[]> {
    const found: Array<[number, string]> = []
    for await (const { key, modifiedAtMs } of this.#store.list(MANIFESTS_PREFIX))
      found.push([modifiedAtMs, idOfKey(key)])
    return found.sort(([a], [b]) => a - b).map(([, id]) => id)
  }

  async markUsed(id: string): Promise<void> {
    await this.#store.touch(manifestKey(id))
  }

  addLocal(checkpoint: PackedCheckpoint): Promise<void> {
    return this.#store.put(manifestKey(checkpoint.id), encodeManifest(checkpoint))
  }

  async removeLocal(id: string): Promise<void> {
    await this.#store.delete(manifestKey(id))
  }

  /** Manifest of a checkpoint that this machine has put into the remote store, with any key. */
  async remote(id: string): Promise<PackedCheckpoint | undefined> {
    for (const keyId of this.#keyIds) {
      const checkpoint = await this.remoteWith(keyId, id)
      if (checkpoint) return checkpoint
    }
    return undefined
  }

  remoteWith(keyId: string, id: string): Promise<PackedCheckpoint | undefined> {
    return this.#read(id, `${folderOf(keyId)}${id}.json`)
  }

  /** Whether the remote store has the checkpoint, sealed with the current key. */
  async hasRemote(id: string): Promise<boolean> {
    return this.#keyId !== undefined && (await this.hasRemoteWith(this.#keyId, id))
  }

  async hasRemoteWith(keyId: string, id: string): Promise<boolean> {
    return (await this.#store.head(`${folderOf(keyId)}${id}.json`)) !== undefined
  }

  /** Whether the remote store has the checkpoint, sealed with any key or unsealed. */
  async hasAnyRemote(id: string): Promise<boolean> {
    return (await this.keyIdsOf(id)).length > 0
  }

  /** Lists the keys with which the remote store has the checkpoint. */
  async keyIdsOf(id: string): Promise<string[]> {
    const found: string[] = []
    for (const keyId of this.#keyIds) if (await this.hasRemoteWith(keyId, id)) found.push(keyId)
    return found
  }

  /** Ids of all checkpoints in the remote store, with any key. */
  async remoteIds(): Promise<string[]> {
    return [...(await this.#ids(PLAIN_PREFIX)), ...(await this.#ids(UPLOADED_PREFIX))]
  }

  remoteIdsWith(keyId: string): Promise<string[]> {
    return this.#ids(folderOf(keyId))
  }

  async addRemote(checkpoint: PackedCheckpoint): Promise<void> {
    if (this.#keyId !== undefined)
      await this.#store.put(`${folderOf(this.#keyId)}${checkpoint.id}.json`, encodeManifest(checkpoint))
  }

  async removeRemote(id: string): Promise<void> {
    for (const keyId of this.#keyIds) await this.removeRemoteWith(keyId, id)
  }

  async removeRemoteWith(keyId: string, id: string): Promise<void> {
    await this.#store.delete(`${folderOf(keyId)}${id}.json`)
  }

  async claimOf(id: string): Promise<string | undefined> {
    return (await this.#store.get(CLAIMED_PREFIX + id))?.toString('utf8')
  }

  addClaim(id: string, name: string): Promise<void> {
    return this.#store.put(CLAIMED_PREFIX + id, Buffer.from(name))
  }

  async removeClaim(id: string): Promise<void> {
    await this.#store.delete(CLAIMED_PREFIX + id)
  }

  async isDeleting(id: string): Promise<boolean> {
    return (await this.#store.head(deletingKey(id))) !== undefined
  }

  deletingIds(): Promise<string[]> {
    return this.#ids(DELETING_PREFIX)
  }

  beginDelete(id: string): Promise<void> {
    return this.#store.put(deletingKey(id), Buffer.alloc(0))
  }

  async endDelete(id: string): Promise<void> {
    await this.#store.delete(deletingKey(id))
  }

  /**
   * Reads all local manifests in sequence. @throws SandlotError checkpoint_damaged: the needs of a damaged one are
   * unknown
   */
  async *allLocal(): AsyncIterable<PackedCheckpoint> {
    for (const id of await this.localIds()) {
      const checkpoint = await this.#readOrCopy(id)
      if (checkpoint) yield checkpoint
    }
  }

  /** All manifests that this machine knows, local or remote, each once. */
  async *all(): AsyncIterable<PackedCheckpoint> {
    const seen = new Set<string>()
    for (const id of [...(await this.localIds()), ...(await this.remoteIds())]) {
      if (seen.has(id)) continue
      seen.add(id)
      const checkpoint = await this.#readOrCopy(id)
      if (checkpoint) yield checkpoint
    }
  }

  /** Reads the local manifest, else the remote one, which has the same content. */
  async #readOrCopy(id: string): Promise<PackedCheckpoint | undefined> {
    try {
      return (await this.local(id)) ?? (await this.remote(id))
    } catch (error) {
      const copy = isDamage(error) ? await this.remote(id).catch(() => undefined) : undefined
      if (copy) return copy
      throw error
    }
  }

  async #read(id: string, key: string): Promise<PackedCheckpoint | undefined> {
    const content = await this.#store.get(key)
    return content && decodeManifest(id, content, this.#store.name)
  }

  async #ids(prefix: string): Promise<string[]> {
    const ids: string[] = []
    for await (const { key } of this.#store.list(prefix)) ids.push(idOfKey(key))
    return ids
  }
}
