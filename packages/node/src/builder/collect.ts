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
  cold: Pick<CheckpointTiers, 'peek'>
  /** Images of machines that live. */
  imagesInUse: Iterable<string>
  /** All of this machine, packed or not. */
  checkpointIds: ReadonlySet<string>
  limits: KeepLimits
}

/**
 * Removes layers, and images that nothing needs any more. A machine keeps its image, running or saved, and so does a
 * layer that lies over it; an image that a name is mapped to stays.
 * @returns how many of each went
 */
export async function collectBuildGarbage(
  { layers, booted, images, cold, imagesInUse, checkpointIds, limits }: BuildLeftovers,
  nowMs = Date.now(),
): Promise<{ layers: number; images: number }> {
  const allLayers = await layers.list()
  const oldLayers = garbageOf(allLayers, limits, nowMs)
  for (const { key } of oldLayers) await layers.remove(key)
  await layers.collectChunks()
  await booted.collect(checkpointIds)

  const inUse = new Set(imagesInUse)
  for (const checkpointId of checkpointIds) {
    const manifest = await cold.peek(checkpointId).catch(() => undefined)
    // what it needs is not known: no image goes while there is such a one
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
 * Removes all layers of a home whose server may run or not: the next build of each template begins anew. What they have
 * packed is free after the next collection of a server.
 */
export async function removeLayers(home: string): Promise<number> {
  const layers = new LayerFolders(join(home, 'layers'))
  const unused = garbageOf(await layers.list(), { maxAgeMs: 0, maxBytes: 0 }, Date.now())
  for (const { key } of unused) await layers.remove(key)
  return unused.length
}
