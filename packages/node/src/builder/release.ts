import { stat } from 'node:fs/promises'
import type { ReleasedTemplate } from '@sandlot/protocol/node'
import type { ImageStore } from '../images/image-store.ts'
import type { CheckpointManifest } from '../persistence/checkpoint-manifest.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import type { Layers } from './layers.ts'
import type { SharedBuilds } from './shared-builds.ts'

export interface ReleaseOptions {
  layers: Pick<Layers, 'list' | 'remove'>
  images: ImageStore
  shared: SharedBuilds
  tiers: Pick<CheckpointTiers, 'peek' | 'list'>
  /** Images of live machines. */
  imagesInUse: () => Iterable<string>
}

/**
 * Reads what builds of a template have kept for later builds, while its checkpoints still exist.
 * @returns a function that removes it after the checkpoints: layers and image, of this instance and those that all instances
 * share. An image that is still needed is kept.
 */
export async function releaseTemplate(
  { layers, images, shared, tiers, imagesInUse }: ReleaseOptions,
  checkpointIds: readonly string[],
): Promise<() => Promise<ReleasedTemplate>> {
  const manifests: CheckpointManifest[] = []
  for (const id of checkpointIds) {
    const manifest = await tiers.peek(id).catch(() => undefined)
    if (manifest) manifests.push(manifest)
  }
  const keys = new Set(manifests.flatMap(({ template }) => template?.keys ?? []))
  const imageKeys = new Set(manifests.flatMap(({ imagePath }) => images.keyOf(imagePath) ?? []))

  return async () => {
    const released = { freedBytes: 0, neededBy: 0 }
    for (const key of await keysOfTemplates(tiers)) keys.delete(key)
    for (const { key, sizeBytes } of await layers.list()) if (keys.has(key)) released.freedBytes += sizeBytes
    for (const key of keys) {
      await layers.remove(key)
      await shared.remove(key)
    }
    const users = await usersOf({ layers, tiers, imagesInUse })
    for (const key of imageKeys) {
      const path = images.pathOf(key)
      await shared.removeImage(key)
      const count = users?.filter((used) => used === path).length
      // unknown when a checkpoint cannot be read: the image is kept
      released.neededBy += count ?? 1
      if (count !== 0) continue
      released.freedBytes += await stat(path).then(
        ({ size }) => size,
        () => 0,
      )
      await images.remove(key)
    }
    return released
  }
}

/** Keys of layers that other templates share, which are kept for their next build. */
async function keysOfTemplates(tiers: ReleaseOptions['tiers']): Promise<string[]> {
  const keys: string[] = []
  for (const id of await tiers.list())
    keys.push(...((await tiers.peek(id).catch(() => undefined))?.template?.keys ?? []))
  return keys
}

/** @returns the images of all that need one, undefined when a checkpoint cannot be read */
async function usersOf({
  layers,
  tiers,
  imagesInUse,
}: Pick<ReleaseOptions, 'layers' | 'tiers' | 'imagesInUse'>): Promise<string[] | undefined> {
  const users = [...imagesInUse(), ...(await layers.list()).map(({ imagePath }) => imagePath)]
  for (const id of await tiers.list()) {
    const manifest = await tiers.peek(id).catch(() => undefined)
    if (!manifest) return undefined
    users.push(manifest.imagePath)
  }
  return users
}
