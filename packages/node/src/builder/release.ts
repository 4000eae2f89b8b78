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
  cold: Pick<CheckpointTiers, 'peek' | 'list'>
  /** Images of machines that live. */
  imagesInUse: () => Iterable<string>
}

/**
 * What builds of a template keep to be faster the next time, read while its checkpoints are there.
 * @returns removes it when they are gone: its layers, and its image, here and where all instances of this machine have
 * them. An image that something else needs stays.
 */
export async function releaseTemplate(
  { layers, images, shared, cold, imagesInUse }: ReleaseOptions,
  checkpointIds: readonly string[],
): Promise<() => Promise<ReleasedTemplate>> {
  const manifests: CheckpointManifest[] = []
  for (const id of checkpointIds) {
    const manifest = await cold.peek(id).catch(() => undefined)
    if (manifest) manifests.push(manifest)
  }
  const keys = new Set(manifests.flatMap(({ template }) => template?.keys ?? []))
  const imageKeys = new Set(manifests.flatMap(({ imagePath }) => images.keyOf(imagePath) ?? []))

  return async () => {
    const released = { freedBytes: 0, neededBy: 0 }
    for (const key of await keysOfTemplates(cold)) keys.delete(key)
    for (const { key, sizeBytes } of await layers.list()) if (keys.has(key)) released.freedBytes += sizeBytes
    for (const key of keys) {
      await layers.remove(key)
      await shared.remove(key)
    }
    const users = await usersOf({ layers, cold, imagesInUse })
    for (const key of imageKeys) {
      const path = images.pathOf(key)
      await shared.removeImage(key)
      const count = users?.filter((used) => used === path).length
      // what a checkpoint that cannot be read needs is not known
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

/** Steps that another template has too stay for its next build. */
async function keysOfTemplates(cold: ReleaseOptions['cold']): Promise<string[]> {
  const keys: string[] = []
  for (const id of await cold.list())
    keys.push(...((await cold.peek(id).catch(() => undefined))?.template?.keys ?? []))
  return keys
}

/** The image of each that needs one; undefined: it is not known. */
async function usersOf({
  layers,
  cold,
  imagesInUse,
}: Pick<ReleaseOptions, 'layers' | 'cold' | 'imagesInUse'>): Promise<string[] | undefined> {
  const users = [...imagesInUse(), ...(await layers.list()).map(({ imagePath }) => imagePath)]
  for (const id of await cold.list()) {
    const manifest = await cold.peek(id).catch(() => undefined)
    if (!manifest) return undefined
    users.push(manifest.imagePath)
  }
  return users
}
