import { randomUUID } from 'node:crypto'
import { existsSync, renameSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import type { UsageReport } from '@sandlot/protocol/node'
import { WRITING_PREFIX } from '../host/atomic-writes.ts'
import { isDamage } from '../packed/manifest.ts'
import type { PackedCheckpoints } from '../packed/packed-checkpoints.ts'
import { BackgroundQueue } from '../persistence/background-queue.ts'
import { diskUsedBytes, LayerFolders, type LayerMeta, type ListedLayer } from './layer-folders.ts'

/**
 * Bytes of most recently used layers to keep unpacked, because a user that edits a step builds from one layer repeatedly.
 */
const UNPACKED_BYTES = 2 * 2 ** 30

/** The files of a finished step are gone or damaged, so the step must be built again. */
export class LostLayer extends Error {
  override readonly name = 'LostLayer'
}

export interface LayersOptions {
  /** `<home>/layers`. */
  dir: string
  /** Store of the packed copies of layers, used for nothing else. */
  packed: PackedCheckpoints
  /** Default 2 GiB. */
  unpackedBytes?: number
  onError: (error: unknown) => void
}

/**
 * Finished build steps by key: the file system after each step, as the files that were written over the image. Layers are
 * packed into chunks, which equal content shares. They stay unpacked until they are packed, during their use, and while
 * they are among the most recently used (docs/adr/0027).
 */
export class Layers {
  readonly #folders: LayerFolders
  readonly #packed: PackedCheckpoints
  readonly #onError: (error: unknown) => void
  readonly #packing = new BackgroundQueue((key) => this.#packNow(key))
  /** Ids of complete packed copies. */
  readonly #packedIds = new Set<string>()
  /** Running uses of files by key. */
  readonly #users = new Map<string, Set<Promise<unknown>>>()
  /** Running replacements of files by key. */
  readonly #replacing = new Map<string, Promise<void>>()
  /** Sizes of layers that are packed and unpacked, the least recently used first. */
  readonly #unpacked = new Map<string, number>()
  readonly #unpackedBytes: number
  /** Keys of layers whose files are removed once they are packed. */
  readonly #transient = new Set<string>()
  readonly #unpacking = new Map<string, Promise<void>>()

  constructor({ dir, packed, unpackedBytes = UNPACKED_BYTES, onError }: LayersOptions) {
    this.#unpackedBytes = unpackedBytes
    this.#folders = new LayerFolders(dir)
    this.#packed = packed
    this.#onError = onError
  }

  /**
   * Must be called before the first use: removes half-written layers of a crash, and packs layers that are still
   * unpacked.
   */
  async prepare(): Promise<void> {
    await this.#folders.prepare()
    for (const id of await this.#packed.list()) this.#packedIds.add(id)
    for (const { key, packedId, sizeBytes } of await this.#folders.list()) {
      // written by a version without packing, with several times the size; the step can be built again
      if (packedId === undefined) await this.#folders.remove(key)
      else if (!existsSync(this.#filesOf(key))) continue
      else if (this.#packedIds.has(packedId)) this.#unpacked.set(key, sizeBytes)
      else this.#packing.add(key)
    }
    await this.#trim()
  }

  /** Counts as a use of the layer. */
  find(key: string): Promise<LayerMeta | undefined> {
    return this.#folders.find(key)
  }

  /** Adds a layer, which is packed after `pack` or the next start. @param save writes the files into a folder that does not exist yet */
  async add(
    key: string,
    imagePath: string,
    save: (filesDir: string) => Promise<void>,
    note?: string,
  ): Promise<void> {
    // not the key, because a step that is built again may have a different result
    const packedId = randomUUID()
    const meta = { imagePath, packedId, note }
    const saveFiles = (dir: string) => save(join(dir, 'files'))
    await this.#folders.add(key, meta, saveFiles, (replace) => this.#whenUnused(key, replace))
    this.#unpacked.delete(key)
  }

  /** Replaces files between uses, because a machine must not start from a mix of old and new files; new uses wait. */
  async #whenUnused(key: string, replace: () => Promise<void>): Promise<void> {
    for (;;) {
      const others = this.#users.get(key) ?? this.#replacing.get(key)
      if (!others) break
      await Promise.allSettled(others instanceof Set ? others : [others])
    }
    const replacing = replace().finally(() => this.#replacing.delete(key))
    this.#replacing.set(key, replacing)
    await replacing
  }

  /** Packs a layer in the background. @param isTransient whether to remove the unpacked files then */
  pack(key: string, { isTransient }: { isTransient: boolean }): void {
    if (isTransient) this.#transient.add(key)
    this.#packing.add(key)
  }

  /**
   * Lets `work` use the files of a layer, which stay unpacked meanwhile.
   * @throws LostLayer, after which the layer is gone, SandlotError disk_full, and what `work` throws
   */
  async use<T>(key: string, work: (filesDir: string) => Promise<T>): Promise<T> {
    for (let other = this.#replacing.get(key); other; other = this.#replacing.get(key))
      await Promise.allSettled([other])
    const users = this.#users.get(key) ?? new Set()
    this.#users.set(key, users)
    const using = this.#unpack(key).then(() => work(this.#filesOf(key)))
    users.add(using)
    try {
      return await using
    } finally {
      users.delete(using)
      if (users.size === 0) this.#users.delete(key)
      await this.#trim().catch(this.#onError)
    }
  }

  /** Lists all layers, the least recently used first. The size of shared chunks is divided among their layers. */
  async list(): Promise<ListedLayer[]> {
    const layers = await this.#folders.list()
    const ids = layers.flatMap(({ packedId }) => (packedId === undefined ? [] : [packedId]))
    const { checkpoints, storedBytes } = await this.#usage(ids)
    const sumBytes = Object.values(checkpoints).reduce((sum, usage) => sum + usage.storedBytes, 0)
    return layers.map((layer) => {
      const own = checkpoints[layer.packedId ?? '']?.storedBytes ?? 0
      return { ...layer, sizeBytes: layer.sizeBytes + (own && Math.round((own / sumBytes) * storedBytes)) }
    })
  }

  /** Returns no usage when a packed copy is damaged, which the next use of that copy reports. */
  async #usage(ids: string[]): Promise<Pick<UsageReport, 'checkpoints' | 'storedBytes'>> {
    try {
      return await this.#packed.usage(ids)
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#onError(error)
      return { checkpoints: {}, storedBytes: 0 }
    }
  }

  /** Does nothing while the layer is in use. */
  async remove(key: string): Promise<void> {
    if (!this.#users.has(key)) await this.#removeNow(key)
  }

  async #removeNow(key: string): Promise<void> {
    const packedId = (await this.#folders.find(key))?.packedId
    await this.#folders.remove(key)
    this.#unpacked.delete(key)
    if (packedId !== undefined) await this.#forget(packedId)
  }

  /** Deletes chunks that no layer needs. */
  async collectChunks(): Promise<void> {
    const packedIds = await this.#packed.list()
    // in this order, because packs that end in between are not in `packedIds`
    const needed = new Set((await this.#folders.list()).map(({ packedId }) => packedId))
    for (const id of packedIds) if (!needed.has(id)) await this.#forget(id)
    try {
      await this.#packed.collectGarbage({ isDryRun: false })
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#onError(error)
    }
  }

  /** Resolves when the running pack has ended; the next start packs the rest. */
  async close(): Promise<void> {
    const closing = this.#packing.close()
    await this.#packed.close()
    await closing
  }

  #filesOf(key: string): string {
    return join(this.#folders.pathOf(key), 'files')
  }

  async #packNow(key: string): Promise<void> {
    const filesDir = this.#filesOf(key)
    try {
      const packedId = (await this.#folders.find(key))?.packedId
      if (packedId === undefined || !existsSync(filesDir)) return
      if (!this.#packedIds.has(packedId)) await this.#packed.pack(packedId, filesDir)
      this.#packedIds.add(packedId)
      this.#unpacked.set(key, await diskUsedBytes(filesDir))
      if (this.#transient.has(key)) await this.#drop(key)
      await this.#trim()
    } catch (error) {
      // no data is lost: the files still exist, or are no longer needed
      const isExpected =
        error instanceof SandlotError && ['conflict', 'server_draining'].includes(error.errorName)
      if (!isExpected && existsSync(filesDir)) this.#onError(error)
    } finally {
      this.#transient.delete(key)
    }
  }

  async #trim(): Promise<void> {
    let total = [...this.#unpacked.values()].reduce((sum, size) => sum + size, 0)
    for (const [key, size] of this.#unpacked) {
      if (total <= this.#unpackedBytes) return
      await this.#drop(key)
      if (!this.#unpacked.has(key)) total -= size
    }
  }

  /** Removes the files of a layer that is packed and not in use. */
  async #drop(key: string): Promise<void> {
    const filesDir = this.#filesOf(key)
    // synchronous up to the rename, so that no use or replacement can begin in between
    if (this.#users.has(key)) return
    this.#unpacked.delete(key)
    if (!existsSync(filesDir)) return
    const { packedId } = this.#folders.read(key)
    if (packedId === undefined || !this.#packedIds.has(packedId)) return
    const removing = join(this.#folders.pathOf(key), `${WRITING_PREFIX}${randomUUID()}`)
    renameSync(filesDir, removing)
    await rm(removing, { recursive: true, force: true })
  }

  #unpack(key: string): Promise<void> {
    let unpacking = this.#unpacking.get(key)
    if (!unpacking) {
      unpacking = this.#unpackNow(key).finally(() => this.#unpacking.delete(key))
      this.#unpacking.set(key, unpacking)
    }
    return unpacking
  }

  async #unpackNow(key: string): Promise<void> {
    const meta = await this.#folders.find(key)
    if (!meta) throw new LostLayer(`layer ${key} is gone`)
    const filesDir = this.#filesOf(key)
    const size = this.#unpacked.get(key)
    if (existsSync(filesDir)) {
      // marks it as most recently used
      if (size !== undefined && this.#unpacked.delete(key)) this.#unpacked.set(key, size)
      return
    }
    try {
      await this.#packed.expand(meta.packedId!, filesDir)
      this.#unpacked.set(key, await diskUsedBytes(filesDir))
    } catch (error) {
      const isGone = error instanceof SandlotError && error.errorName === 'not_found'
      if (!isGone && !isDamage(error)) throw error
      await this.#removeNow(key)
      throw new LostLayer(`layer ${key} is lost: ${(error as Error).message}`, { cause: error })
    }
  }

  async #forget(packedId: string): Promise<void> {
    this.#packedIds.delete(packedId)
    await this.#packed.delete(packedId)
  }
}
