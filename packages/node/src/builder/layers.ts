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

/** Of layers beside their packed copies, those that were used last: who changes a step builds from one again and again. */
const UNPACKED_BYTES = 2 * 2 ** 30

/** A finished step whose files are gone or damaged: what it made must be made again. */
export class LostLayer extends Error {
  override readonly name = 'LostLayer'
}

export interface LayersOptions {
  /** `<home>/layers`. */
  dir: string
  /** For their packed copies alone. */
  packed: PackedCheckpoints
  /** Default 2 GiB. */
  unpackedBytes?: number
  onError: (error: unknown) => void
}

/**
 * Finished steps by key: file systems as steps left them, each with all that was written over its image. They are packed
 * in chunks, of which those that several steps have are there once, and are unpacked until then, while a build uses them,
 * and as long as they are among those used last (docs/adr/0027).
 */
export class Layers {
  readonly #folders: LayerFolders
  readonly #packed: PackedCheckpoints
  readonly #onError: (error: unknown) => void
  readonly #packing = new BackgroundQueue((key) => this.#packNow(key))
  /** Ids of packed copies that are whole. */
  readonly #packedIds = new Set<string>()
  /** What uses the files of a key. */
  readonly #users = new Map<string, Set<Promise<unknown>>>()
  /** Of keys whose files are being exchanged for others. */
  readonly #replacing = new Map<string, Promise<void>>()
  /** Bytes of those that are packed and unpacked, the one that was not used for longest first. */
  readonly #unpacked = new Map<string, number>()
  readonly #unpackedBytes: number
  /** Nobody will use their files soon: they go when they are packed. */
  readonly #passing = new Set<string>()
  readonly #unpacking = new Map<string, Promise<void>>()

  constructor({ dir, packed, unpackedBytes = UNPACKED_BYTES, onError }: LayersOptions) {
    this.#unpackedBytes = unpackedBytes
    this.#folders = new LayerFolders(dir)
    this.#packed = packed
    this.#onError = onError
  }

  /** Removes what a crash left half written, and packs what it left unpacked. Before the first use. */
  async prepare(): Promise<void> {
    await this.#folders.prepare()
    for (const id of await this.#packed.list()) this.#packedIds.add(id)
    for (const { key, packedId, sizeBytes } of await this.#folders.list()) {
      // of a version that packed nothing: several times the bytes, for a step that can be done again
      if (packedId === undefined) await this.#folders.remove(key)
      else if (!existsSync(this.#filesOf(key))) continue
      else if (this.#packedIds.has(packedId)) this.#unpacked.set(key, sizeBytes)
      else this.#packing.add(key)
    }
    await this.#trim()
  }

  /** Finding it counts as use. */
  find(key: string): Promise<LayerMeta | undefined> {
    return this.#folders.find(key)
  }

  /** It is packed when `pack` says so, or after the next start. @param save writes the files into a folder that is not there yet */
  async add(
    key: string,
    imagePath: string,
    save: (filesDir: string) => Promise<void>,
    note?: string,
  ): Promise<void> {
    // not the key: when a step is done anew, what it makes may be something else
    const packedId = randomUUID()
    await this.#folders.add(
      ...([key, { imagePath, packedId, note }, (dir: string) => save(join(dir, 'files'))] as const),
      (replace) => this.#whenUnused(key, replace),
    )
    this.#unpacked.delete(key)
  }

  /** A machine that starts from files must not find half of others: who comes meanwhile waits, and finds the new ones. */
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

  /** Packs it when its turn comes; nobody waits. @param isPassing its files need not stay beside the packed copy */
  pack(key: string, { isPassing }: { isPassing: boolean }): void {
    if (isPassing) this.#passing.add(key)
    this.#packing.add(key)
  }

  /**
   * Lets `work` use the files of a layer, which stay unpacked meanwhile.
   * @throws LostLayer, after which there is no such layer, SandlotError disk_full, and what `work` throws
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

  /** All there are, the one that was not used for longest first; what several have in common counts in part to each. */
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

  /** A damaged copy is found when it is used; until then it counts for nothing. */
  async #usage(ids: string[]): Promise<Pick<UsageReport, 'checkpoints' | 'storedBytes'>> {
    try {
      return await this.#packed.usage(ids)
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#onError(error)
      return { checkpoints: {}, storedBytes: 0 }
    }
  }

  /** One that is in use stays: whoever uses it starts from its files. */
  async remove(key: string): Promise<void> {
    if (!this.#users.has(key)) await this.#removeNow(key)
  }

  async #removeNow(key: string): Promise<void> {
    const packedId = (await this.#folders.find(key))?.packedId
    await this.#folders.remove(key)
    this.#unpacked.delete(key)
    if (packedId !== undefined) await this.#forget(packedId)
  }

  /** Frees the chunks that no layer needs any more. */
  async collectChunks(): Promise<void> {
    const packedIds = await this.#packed.list()
    // after that: what was packed meanwhile is not listed
    const needed = new Set((await this.#folders.list()).map(({ packedId }) => packedId))
    for (const id of packedIds) if (!needed.has(id)) await this.#forget(id)
    try {
      await this.#packed.collectGarbage({ isDryRun: false })
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#onError(error)
    }
  }

  /** Resolves when nothing is being packed; the others are packed after the next start. */
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
      if (this.#passing.has(key)) await this.#drop(key)
      await this.#trim()
    } catch (error) {
      // nothing is lost: the files are still there, or nobody wants them any more
      const isExpected =
        error instanceof SandlotError && ['conflict', 'server_draining'].includes(error.errorName)
      if (!isExpected && existsSync(filesDir)) this.#onError(error)
    } finally {
      this.#passing.delete(key)
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
    // all at once: nobody may begin to use it, or put another layer in its place, in between
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
      // moves it to the end
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
