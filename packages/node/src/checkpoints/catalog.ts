import { idOfKey, MANIFESTS_PREFIX, manifestKey } from './checkpoint-store.ts'
import type { LocalStore } from './local-store.ts'
import { decodeManifest, encodeManifest, isDamage, type PackedCheckpoint } from './manifest.ts'

const REMOTE_PREFIX = 'remote/'
const DELETING_PREFIX = 'deleting/'
const remoteKey = (id: string) => `${REMOTE_PREFIX}${id}.json`
const deletingKey = (id: string) => `${DELETING_PREFIX}${id}`

/**
 * What this machine knows of checkpoints, all of it as files: `checkpoints/<id>.json`, all chunks are here;
 * `remote/<id>.json`, all chunks are in the remote store; `deleting/<id>`, it must go, wherever it is.
 */
export class Catalog {
  readonly #store: LocalStore

  constructor(store: LocalStore) {
    this.#store = store
  }

  /** @throws SandlotError checkpoint_damaged when the manifest is */
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

  remote(id: string): Promise<PackedCheckpoint | undefined> {
    return this.#read(id, remoteKey(id))
  }

  async hasRemote(id: string): Promise<boolean> {
    return (await this.#store.head(remoteKey(id))) !== undefined
  }

  remoteIds(): Promise<string[]> {
    return this.#ids(REMOTE_PREFIX)
  }

  addRemote(checkpoint: PackedCheckpoint): Promise<void> {
    return this.#store.put(remoteKey(checkpoint.id), encodeManifest(checkpoint))
  }

  async removeRemote(id: string): Promise<void> {
    await this.#store.delete(remoteKey(id))
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

  /** All that are here, one after the other. A damaged one ends it: what it needs is not known. */
  async *allLocal(): AsyncIterable<PackedCheckpoint> {
    for (const id of await this.localIds()) {
      const checkpoint = await this.#readOrCopy(id)
      if (checkpoint) yield checkpoint
    }
  }

  /** All that this machine knows, here or remote, each once. */
  async *all(): AsyncIterable<PackedCheckpoint> {
    const seen = new Set<string>()
    for (const id of [...(await this.localIds()), ...(await this.#ids(REMOTE_PREFIX))]) {
      if (seen.has(id)) continue
      seen.add(id)
      const checkpoint = await this.#readOrCopy(id)
      if (checkpoint) yield checkpoint
    }
  }

  /** The two manifests of one checkpoint are the same: one can stand in for the other. */
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
