import { existsSync } from 'node:fs'
import type { CheckpointManifest } from './checkpoint-folder.ts'
import { cpuFeatures } from './cpu-features.ts'

/** Why the memory of a checkpoint cannot be used on this machine; its file system always can. */
export function findMisfit(
  manifest: Pick<CheckpointManifest, 'engineVersion' | 'cpuFeatures' | 'guestDir'>,
  engineVersion: string,
): string | undefined {
  if (manifest.engineVersion !== engineVersion)
    return `it was saved by runsc ${manifest.engineVersion}, this machine has ${engineVersion}`
  const present = new Set(cpuFeatures())
  const missing = manifest.cpuFeatures.filter((feature) => !present.has(feature))
  if (missing.length > 0) return `this machine's CPU lacks ${missing.slice(0, 8).join(', ')}`
  if (!existsSync(manifest.guestDir)) return `the envd that runs in it is gone from ${manifest.guestDir}`
  return undefined
}
