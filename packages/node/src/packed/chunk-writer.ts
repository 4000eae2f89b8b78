import type { FolderStore } from '../objects/folder-store.ts'
import { chunkKey } from '../objects/object-store.ts'
import { chunkName, damageOf, sealChunk } from './chunk-codec.ts'
import type { ChunkExtent } from './manifest.ts'

export interface WrittenChunks {
  /** Bytes that were added to the store, without chunks that were stored before. */
  addedBytes: number
  chunks: number
  addedChunks: number
}

/** Writes each distinct chunk of one checkpoint into a store once. */
export class ChunkWriter {
  readonly written: WrittenChunks = { addedBytes: 0, chunks: 0, addedChunks: 0 }
  readonly #store: FolderStore
  readonly #known = new Map<string, ChunkExtent>()

  constructor(store: FolderStore) {
    this.#store = store
  }

  async put(plain: Buffer): Promise<ChunkExtent> {
    const chunk = chunkName(plain)
    const seen = this.#known.get(chunk)
    if (seen) return seen
    this.written.chunks++
    const storedBytes = (await this.#reuse(chunk, plain.length)) ?? (await this.#add(chunk, plain))
    const extent: ChunkExtent = { sizeBytes: plain.length, chunk, storedBytes }
    this.#known.set(chunk, extent)
    return extent
  }

  /**
   * Last check before a manifest relies on the chunks: a sweep may have deleted some, as sweeps compare times and clocks
   * are sometimes adjusted.
   */
  async areAllThere(): Promise<boolean> {
    for (const chunk of this.#known.keys()) if (!(await this.#store.head(chunkKey(chunk)))) return false
    return true
  }

  /**
   * Touches a stored chunk, so that no sweep deletes it, and reads it: a new checkpoint must not rely on a damaged chunk
   * while the plain bytes to replace it are at hand.
   */
  async #reuse(chunk: string, sizeBytes: number): Promise<number | undefined> {
    if (!(await this.#store.touch(chunkKey(chunk)))) return undefined
    const sealed = await this.#store.get(chunkKey(chunk))
    return damageOf(sealed, chunk, sizeBytes) === undefined ? sealed?.length : undefined
  }

  async #add(chunk: string, plain: Buffer): Promise<number> {
    const sealed = sealChunk(plain)
    await this.#store.putUnflushed(chunkKey(chunk), sealed)
    this.written.addedBytes += sealed.length
    this.written.addedChunks++
    return sealed.length
  }
}
