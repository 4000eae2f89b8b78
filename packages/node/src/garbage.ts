import type { BootedBuilds } from './builder/booted-builds.ts'
import { collectBuildGarbage } from './builder/collect.ts'
import type { KeepLimits } from './builder/garbage.ts'
import type { Layers } from './builder/layers.ts'
import type { SharedBuilds } from './builder/shared-builds.ts'
import type { ImageStore } from './images/image-store.ts'
import type { Machines } from './machines/machines.ts'
import type { CheckpointTiers } from './persistence/checkpoint-tiers.ts'
import type { AdoptedBases } from './takeover/adopted-bases.ts'
import { collectUnlisted, type UnlistedData } from './unlisted/unlisted-data.ts'

export interface NodeGarbageOptions {
  unlisted: UnlistedData
  tiers: CheckpointTiers
  layers: Layers
  booted: BootedBuilds
  images: ImageStore
  adopted: AdoptedBases
  shared: SharedBuilds
  machines: Machines
  limits: KeepLimits
}

/** Removes chunks, layers, images, and bases from other machines that nothing on this machine needs. */
export async function collectNodeGarbage(options: NodeGarbageOptions): Promise<void> {
  const { unlisted, tiers, layers, booted, images, adopted, shared, machines, limits } = options
  await collectUnlisted(unlisted, { isAsked: false })
  await tiers.collectGarbage(false)
  const checkpointIds = await tiers.list()
  const imagesInUse = [...machines.all()].map(({ imagePath }) => imagePath)
  await collectBuildGarbage({ layers, booted, images, tiers, limits, imagesInUse, checkpointIds })
  const layersOver = (await layers.list()).map(({ imagePath }) => imagePath)
  const guestsInUse = [...machines.all()].map(({ guestDir }) => guestDir)
  await adopted.collect(checkpointIds, [...imagesInUse, ...guestsInUse, ...layersOver])
  await shared.removeUnused(Date.now() - limits.maxAgeMs)
}
