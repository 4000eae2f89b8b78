import { join } from 'node:path'
import type { ImageStore } from '../images/image-store.ts'
import { areOnOneDisk, LayerFolders, linkFolder } from './layer-folders.ts'

/** Of a booted template. */
const PARTS = ['memory', 'files']

/** A booted template: a folder with `memory` and `files`, and what they lie over. */
export interface BootedFolder {
  dir: string
  imagePath: string
}

/**
 * What was built of the catalogue, for every instance of this machine: keys say what is in it, hard links that it
 * costs nothing twice. An instance only ever uses its own links, so anything may be removed here at any time.
 */
export class SharedBuilds {
  readonly #own: ImageStore
  readonly #booted: LayerFolders
  readonly #images: ImageStore
  readonly #onError: (error: unknown) => void

  /** @param dir for all instances; those on another disk use what is there, and leave nothing, as it would be a copy */
  constructor(
    dir: string,
    own: ImageStore,
    openImages: (dir: string) => ImageStore,
    onError: (error: unknown) => void,
  ) {
    this.#own = own
    this.#booted = new LayerFolders(join(dir, 'layers'))
    this.#images = openImages(join(dir, 'images'))
    this.#onError = onError
  }

  /**
   * Lets `take` link what another instance has built of `key`, over an image of this instance.
   * @returns undefined: nobody has, or it could not be taken
   */
  async adopt<T>(key: string, take: (booted: BootedFolder) => Promise<T>): Promise<T | undefined> {
    try {
      const found = await this.#booted.find(key)
      if (!found) return undefined
      const imageKey = this.#images.keyOf(found.imagePath)
      if (imageKey) await this.#images.linkTo(this.#own, imageKey)
      const imagePath = imageKey ? this.#own.pathOf(imageKey) : found.imagePath
      return await take({ dir: this.#booted.pathOf(key), imagePath })
    } catch (error) {
      this.#onError(error)
      return undefined
    }
  }

  /** Lets others have it. Nothing here fails a build: who builds without it only builds it again. */
  async offer(key: string, { dir, imagePath }: BootedFolder): Promise<void> {
    try {
      if (!(await this.#isOnOneDisk()) || (await this.#booted.find(key))) return
      const imageKey = this.#own.keyOf(imagePath)
      if (imageKey) await this.#own.linkTo(this.#images, imageKey)
      const meta = { imagePath: imageKey ? this.#images.pathOf(imageKey) : imagePath }
      await this.#booted.add(key, meta, async (writing) => {
        for (const part of PARTS) await linkFolder(join(dir, part), join(writing, part))
      })
    } catch (error) {
      this.#onError(error)
    }
  }

  /** The same for an image alone. */
  async adoptImage(key: string): Promise<void> {
    await this.#images.linkTo(this.#own, key).catch(this.#onError)
  }

  async offerImage(key: string): Promise<void> {
    try {
      if (await this.#isOnOneDisk()) await this.#own.linkTo(this.#images, key)
    } catch (error) {
      this.#onError(error)
    }
  }

  /** The instances that use it keep their own links. */
  remove = (key: string): Promise<void> => this.#booted.remove(key)

  removeImage = (key: string): Promise<void> => this.#images.remove(key)

  /** Removes what no instance asked for since then. */
  async removeUnused(beforeMs: number): Promise<void> {
    for (const { key, usedAtMs } of await this.#booted.list())
      if (usedAtMs < beforeMs) await this.#booted.remove(key)
    for (const { key, usedAtMs } of await this.#images.list())
      if (usedAtMs < beforeMs) await this.#images.remove(key)
  }

  async #isOnOneDisk(): Promise<boolean> {
    await this.#images.open()
    return areOnOneDisk(this.#own.dir, this.#images.dir)
  }
}
