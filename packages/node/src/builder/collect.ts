import { join } from 'node:path'
import type { ImageStore } from '../images/image-store.ts'
import type { CheckpointTiers } from '../persistence/checkpoint-tiers.ts'
import type { BootedBuilds } from './booted-builds.ts'
import { garbageOf, type KeepLimits } from './garbage.ts'
import { LayerFolders } from './layer-folders.ts'
import type { Layers } from './layers.ts'

export interface BuildLeftovers {
  layers: Layers
  booted: BootedBuilds
  images: ImageStore
  tiers: Pick<CheckpointTiers, 'peek'>
  /** Images of live machines. */
  imagesInUse: Iterable<string>
  /** All checkpoints on this machine, packed or not. */
  checkpointIds: ReadonlySet<string>
  limits: KeepLimits
}

/**
 * Removes layers and images that nothing needs. An image is needed by machines, checkpoints and layers that use it, and
 * by a name that maps to it.
 * @returns how many of each were removed
 */
export async function collectBuildGarbage(
  { layers, booted, images, tiers, imagesInUse, checkpointIds, limits }: BuildLeftovers,
  nowMs = Date.now(),
): Promise<{ layers: number; images: number }> {
  const allLayers = await layers.list()
  const oldLayers = garbageOf(allLayers, limits, nowMs)
  for (const { key } of oldLayers) await layers.remove(key)
  await layers.collectChunks()
  await booted.collect(checkpointIds)

  const inUse = new Set(imagesInUse)
  for (const checkpointId of checkpointIds) {
    const manifest = await tiers.peek(checkpointId).catch(() => undefined)
    // keeps all images, because the needs of an unreadable checkpoint are unknown
    if (!manifest) return { layers: oldLayers.length, images: 0 }
    inUse.add(manifest.imagePath)
  }
  const gone = new Set(oldLayers.map(({ key }) => key))
  for (const { key, imagePath } of allLayers) if (!gone.has(key)) inUse.add(imagePath)
  const oldImages = garbageOf(
    await images.list(),
    limits,
    nowMs,
    ({ key, names }) => names.length > 0 || inUse.has(images.pathOf(key)),
  )
  for (const { key } of oldImages) await images.remove(key)
  return { layers: oldLayers.length, images: oldImages.length }
}

/**
 * Removes all layers of a home, with or without a running server: the next build of each template starts from scratch.
 * Packed chunks become free with the next garbage collection of a server.
 */
export async function removeLayers(home: string): Promise<number> {
  const layers = new LayerFolders(join(home, 'layers'))
  const unused = garbageOf(await layers.list(), { maxAgeMs: 0, maxBytes: 0 }, Date.now())
  for (const { key } of unused) await layers.remove(key)
  return unused.length
}
