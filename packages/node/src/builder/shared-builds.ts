import { join } from 'node:path'
import type { ImageStore } from '../images/image-store.ts'
import { areOnOneDisk, LayerFolders, linkFolder } from './layer-folders.ts'

/** Folders of a booted template. */
const PARTS = ['memory', 'files']

/** A booted template: a folder with `memory` and `files`, and the image below the files. */
export interface BootedFolder {
  dir: string
  imagePath: string
}

/**
 * Builds of catalog templates that all instances on this machine share, by content key and as hard links, which take no
 * space. An instance only uses its own links, so anything may be removed from the shared folder at any time.
 */
export class SharedBuilds {
  readonly #own: ImageStore
  readonly #booted: LayerFolders
  readonly #images: ImageStore
  readonly #onError: (error: unknown) => void

  /**
   * @param dir shared folder; instances on another disk read it but publish nothing, because that would need a full copy
   */
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
   * Lets `link` reuse the build of another instance with this key, over an image of this instance.
   * @returns undefined when there is none, or it could not be linked
   */
  async claim<T>(key: string, link: (booted: BootedFolder) => Promise<T>): Promise<T | undefined> {
    try {
      const found = await this.#booted.find(key)
      if (!found) return undefined
      const imageKey = this.#images.keyOf(found.imagePath)
      if (imageKey) await this.#images.linkTo(this.#own, imageKey)
      const imagePath = imageKey ? this.#own.pathOf(imageKey) : found.imagePath
      return await link({ dir: this.#booted.pathOf(key), imagePath })
    } catch (error) {
      this.#onError(error)
      return undefined
    }
  }

  /** Publishes a build for other instances. Never rejects, because other instances can build it again. */
  async publish(key: string, { dir, imagePath }: BootedFolder): Promise<void> {
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

  /** Like `claim`, for an image only. */
  async claimImage(key: string): Promise<void> {
    await this.#images.linkTo(this.#own, key).catch(this.#onError)
  }

  async publishImage(key: string): Promise<void> {
    try {
      if (await this.#isOnOneDisk()) await this.#own.linkTo(this.#images, key)
    } catch (error) {
      this.#onError(error)
    }
  }

  /** Removes a shared build; instances that use it keep their own links. */
  remove = (key: string): Promise<void> => this.#booted.remove(key)

  removeImage = (key: string): Promise<void> => this.#images.remove(key)

  /** Removes builds and images that no instance has used since `beforeMs`. */
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
