import { randomUUID } from 'node:crypto'
import type { ObjectStore } from '../objects/object-store.ts'
import type { ManifestIndex } from './manifest-index.ts'

const folderOf = (id: string): string => `claims/${id}/`

/**
 * Claims checkpoints that another machine has uploaded, by empty objects `claims/<id>/<name>`, so that neither machine
 * deletes data that the other one needs. Own uploads are not claimed, because that would cost a request for each, and
 * other machines only take them over after this one has released them or lost its database.
 */
export class RemoteClaims {
  readonly #store: ObjectStore
  readonly #index: ManifestIndex

  constructor(store: ObjectStore, index: ManifestIndex) {
    this.#store = store
    this.#index = index
  }

  /**
   * Must be called before the checkpoint is looked up, because a machine checks for claims before it deletes a
   * checkpoint.
   */
  async claim(id: string): Promise<void> {
    const name = (await this.#index.claimOf(id)) ?? randomUUID()
    await this.#index.addClaim(id, name)
    await this.#store.put(folderOf(id) + name, Buffer.alloc(0))
  }

  async release(id: string): Promise<void> {
    const name = await this.#index.claimOf(id)
    if (name === undefined) return
    await this.#store.delete(folderOf(id) + name)
    await this.#index.removeClaim(id)
  }

  /** Whether another machine needs the checkpoint. */
  async hasOtherClaims(id: string): Promise<boolean> {
    const own = await this.#index.claimOf(id)
    for await (const { key } of this.#store.list(folderOf(id)))
      if (key.slice(folderOf(id).length) !== own) return true
    return false
  }
}
