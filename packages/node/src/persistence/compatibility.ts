import { existsSync } from 'node:fs'
import { cpuFeatures } from '../engine/cpu-features.ts'
import { SPEC_VERSION } from '../engine/oci-spec.ts'
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

/** @returns why a template should be booted again, although its memory may still be usable; undefined: it should not */
export function findReasonToRenew(
  manifest: Pick<CheckpointManifest, 'engineVersion' | 'cpuFeatures' | 'guestDir' | 'specVersion'>,
  engineVersion: string,
): string | undefined {
  const { specVersion = 1 } = manifest
  const isOld =
    specVersion !== SPEC_VERSION &&
    `its machines have version ${specVersion}, this server makes ${SPEC_VERSION}`
  return findIncompatibility(manifest, engineVersion) ?? (isOld || undefined)
}
