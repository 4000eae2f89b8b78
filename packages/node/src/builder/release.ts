import { stat } from 'node:fs/promises'
import { SandlotError } from '@sandlot/protocol'
import type { ReleasedTemplate, ReleasePlan } from '@sandlot/protocol/node'
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

/** Keys of layers and images are digests, never paths. */
const KEY = /^[A-Za-z0-9_-]{1,100}$/

/** Lists what builds of a template have cached for later builds; the template's checkpoints must still exist. */
export async function planRelease(
  { images, tiers }: Pick<ReleaseOptions, 'images' | 'tiers'>,
  checkpointIds: readonly string[],
): Promise<ReleasePlan> {
  const manifests: CheckpointManifest[] = []
  for (const id of checkpointIds) {
    const manifest = await tiers.peek(id).catch(() => undefined)
    if (manifest) manifests.push(manifest)
  }
  return {
    layerKeys: [...new Set(manifests.flatMap(({ template }) => template?.keys ?? []))],
    imageKeys: [...new Set(manifests.flatMap(({ imagePath }) => images.keyOf(imagePath) ?? []))],
  }
}

/**
 * Removes the layers and images of a plan after the template's checkpoints, including those that all instances on this
 * machine share. Layers and images that are still needed are kept.
 * @throws SandlotError invalid_request when the plan was not made by `planRelease`
 */
export async function releaseTemplate(
  options: ReleaseOptions,
  { layerKeys, imageKeys }: ReleasePlan,
): Promise<ReleasedTemplate> {
  for (const key of [...layerKeys, ...imageKeys])
    if (!KEY.test(key))
      throw new SandlotError(
        'invalid_request',
        `'${key.slice(0, 100)}' is not a valid key of a layer or image`,
      )
  const freedBytes = await releaseLayers(options, layerKeys)
  const released = { freedBytes, neededBy: 0 }
  const users = await usersOf(options)
  for (const key of imageKeys) await releaseImage(options, key, users, released)
  return released
}

/** @returns freed bytes */
async function releaseLayers(
  { layers, shared, tiers }: ReleaseOptions,
  layerKeys: readonly string[],
): Promise<number> {
  const keys = new Set(layerKeys)
  for (const key of await keysOfTemplates(tiers)) keys.delete(key)
  let freedBytes = 0
  for (const { key, sizeBytes } of await layers.list()) if (keys.has(key)) freedBytes += sizeBytes
  for (const key of keys) {
    await layers.remove(key)
    await shared.remove(key)
  }
  return freedBytes
}

/** @param users image paths that are in use; undefined when a checkpoint cannot be read, which may need any image */
async function releaseImage(
  { images, shared }: ReleaseOptions,
  key: string,
  users: readonly string[] | undefined,
  released: ReleasedTemplate,
): Promise<void> {
  const path = images.pathOf(key)
  await shared.removeImage(key)
  const count = users?.filter((used) => used === path).length
  released.neededBy += count ?? 1
  if (count !== 0) return
  released.freedBytes += await stat(path).then(
    ({ size }) => size,
    () => 0,
  )
  await images.remove(key)
}

/** Keys of layers that other templates share, which are kept for their next build. */
async function keysOfTemplates(tiers: ReleaseOptions['tiers']): Promise<string[]> {
  const keys: string[] = []
  for (const id of await tiers.list())
    keys.push(...((await tiers.peek(id).catch(() => undefined))?.template?.keys ?? []))
  return keys
}

/** @returns the images that machines, layers and checkpoints use; undefined when a checkpoint cannot be read */
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
