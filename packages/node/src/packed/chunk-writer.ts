import type { FolderStore } from '../objects/folder-store.ts'
import { chunkKey } from '../objects/object-store.ts'
import { chunkName, damageOf, sealChunk } from './chunk-codec.ts'
import type { ChunkExtent } from './manifest.ts'

export interface WrittenChunks {
  /** What the store grew by; what others had stored already does not count. */
  addedBytes: number
  chunks: number
  addedChunks: number
}

/** Puts the chunks of one checkpoint into a store, each once. */
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

  /** Sweeps go by times, and clocks are set now and then: the last look before something relies on the chunks. */
  async areAllThere(): Promise<boolean> {
    for (const chunk of this.#known.keys()) if (!(await this.#store.head(chunkKey(chunk)))) return false
    return true
  }

  /**
   * A chunk that is there is touched, so that no sweep takes it, and read: a new checkpoint must not be built on a
   * damaged one, and the plain bytes to mend it with are at hand.
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
