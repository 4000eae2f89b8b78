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
  cold: Pick<CheckpointTiers, 'peek' | 'list'>
  /** Images of machines that live. */
  imagesInUse: () => Iterable<string>
}

/** A layer or an image is named by a digest, never by a path. */
const KEY = /^[A-Za-z0-9_-]{1,100}$/

/** Reads what builds of a template keep to be faster the next time, while the template's checkpoints are there. */
export async function planRelease(
  { images, cold }: Pick<ReleaseOptions, 'images' | 'cold'>,
  checkpointIds: readonly string[],
): Promise<ReleasePlan> {
  const manifests: CheckpointManifest[] = []
  for (const id of checkpointIds) {
    const manifest = await cold.peek(id).catch(() => undefined)
    if (manifest) manifests.push(manifest)
  }
  return {
    layerKeys: [...new Set(manifests.flatMap(({ template }) => template?.keys ?? []))],
    imageKeys: [...new Set(manifests.flatMap(({ imagePath }) => images.keyOf(imagePath) ?? []))],
  }
}

/**
 * Removes what a plan lists, once the template's checkpoints are gone: layers and images, here and where all instances
 * of this machine have them. A layer or an image that something else needs stays.
 * @throws SandlotError invalid_request: the plan is not one of `planRelease`
 */
export async function releaseTemplate(
  options: ReleaseOptions,
  { layerKeys, imageKeys }: ReleasePlan,
): Promise<ReleasedTemplate> {
  for (const key of [...layerKeys, ...imageKeys])
    if (!KEY.test(key))
      throw new SandlotError(
        'invalid_request',
        `'${key.slice(0, 100)}' cannot be the key of a layer or image`,
      )
  const freedBytes = await releaseLayers(options, layerKeys)
  const released = { freedBytes, neededBy: 0 }
  const users = await usersOf(options)
  for (const key of imageKeys) await releaseImage(options, key, users, released)
  return released
}

/** @returns bytes that became free */
async function releaseLayers(
  { layers, shared, cold }: ReleaseOptions,
  layerKeys: readonly string[],
): Promise<number> {
  const keys = new Set(layerKeys)
  for (const key of await keysOfTemplates(cold)) keys.delete(key)
  let freedBytes = 0
  for (const { key, sizeBytes } of await layers.list()) if (keys.has(key)) freedBytes += sizeBytes
  for (const key of keys) {
    await layers.remove(key)
    await shared.remove(key)
  }
  return freedBytes
}

/** @param users image of each user; undefined: a checkpoint that cannot be read may need any image */
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
