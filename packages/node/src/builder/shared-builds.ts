import { join } from 'node:path'
import type { ImageStore } from '../images/image-store.ts'
import { LayerCache, linkFolder } from './layers.ts'

interface BuildStores {
  layers: LayerCache
  images: ImageStore
}

/**
 * What was built of the catalogue, for every instance of this machine: keys say what is in it, hard links that it
 * costs nothing twice. An instance only ever uses its own links, so anything may be removed here at any time.
 */
export class SharedBuilds {
  readonly #own: BuildStores
  readonly #shared: BuildStores
  readonly #onError: (error: unknown) => void

  /** @param dir for all instances, on the disk of their homes if links are to be cheap */
  constructor(
    dir: string,
    own: BuildStores,
    openImages: (dir: string) => ImageStore,
    onError: (error: unknown) => void,
  ) {
    this.#own = own
    this.#shared = { layers: new LayerCache(join(dir, 'layers')), images: openImages(join(dir, 'images')) }
    this.#onError = onError
  }

  /** Takes over what another instance has built of `key`, when it has. */
  async adopt(key: string): Promise<void> {
    await this.#link(key, this.#shared, this.#own)
  }

  /** Lets others have it. */
  async offer(key: string): Promise<void> {
    await this.#link(key, this.#own, this.#shared)
  }

  /** The same for an image alone. */
  async adoptImage(key: string): Promise<void> {
    await this.#shared.images.linkTo(this.#own.images, key).catch(this.#onError)
  }

  async offerImage(key: string): Promise<void> {
    await this.#own.images.linkTo(this.#shared.images, key).catch(this.#onError)
  }

  /** The instances that use it keep their own links. */
  async remove(key: string): Promise<void> {
    await this.#shared.layers.remove(key)
  }

  async removeImage(key: string): Promise<void> {
    await this.#shared.images.remove(key)
  }

  /** Removes what no instance asked for since then. */
  async removeUnused(beforeMs: number): Promise<void> {
    for (const { key, usedAtMs } of await this.#shared.layers.list())
      if (usedAtMs < beforeMs) await this.#shared.layers.remove(key)
    for (const { key, usedAtMs } of await this.#shared.images.list())
      if (usedAtMs < beforeMs) await this.#shared.images.remove(key)
  }

  /** Whoever builds without it only builds it again: nothing here fails a build. */
  async #link(key: string, from: BuildStores, to: BuildStores): Promise<void> {
    try {
      const [found, known] = [await from.layers.find(key), await to.layers.find(key)]
      if (!found || known) return
      const { imagePath } = found.layer
      const imageKey = from.images.keyOf(imagePath)
      if (imageKey) await from.images.linkTo(to.images, imageKey)
      await to.layers.add(key, imageKey ? to.images.pathOf(imageKey) : imagePath, async (writing) => {
        for (const part of ['memory', 'files']) await linkFolder(join(found.dir, part), join(writing, part))
      })
    } catch (error) {
      this.#onError(error)
    }
  }
}
