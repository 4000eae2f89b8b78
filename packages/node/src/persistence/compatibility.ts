import { existsSync } from 'node:fs'
import { cpuFeatures } from '../engine/cpu-features.ts'
import type { CheckpointManifest } from './checkpoint-manifest.ts'

/**
 * @returns why the memory of a checkpoint cannot be used on this machine; undefined: it can. The file system always can
 */
export function findIncompatibility(
  manifest: Pick<CheckpointManifest, 'engineVersion' | 'cpuFeatures' | 'guestDir'>,
  engineVersion: string,
): string | undefined {
  if (manifest.engineVersion !== engineVersion)
    return `it was saved by runsc ${manifest.engineVersion}, this machine has ${engineVersion}`
  const present = new Set(cpuFeatures())
  const missing = manifest.cpuFeatures.filter((feature) => !present.has(feature))
  if (missing.length > 0) return `this machine's CPU lacks ${missing.slice(0, 8).join(', ')}`
  if (!existsSync(manifest.guestDir)) return `the envd that runs in it is missing at ${manifest.guestDir}`
  return undefined
}
