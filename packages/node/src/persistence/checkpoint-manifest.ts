import type { BuildEnvironment, CheckpointInfo } from '@sandlot/protocol/node'
import type { SlotVolume } from '../volumes/volume-table.ts'

/** Content of a checkpoint's `manifest.json`, which is written last: a folder without it is not a checkpoint. */
export interface CheckpointManifest extends CheckpointInfo {
  /** The image below the writable layer. */
  imagePath: string
  /** The folder with the running envd, from which a restore reads pages of that program again. */
  guestDir: string
  cpuFeatures: string[]
  /** For a template: `SPEC_VERSION` of the machine that it was booted in. Default: 1, which had no slots for volumes. */
  specVersion?: number
  /** Volumes that were mounted, and stay so in its memory. Their content is not part of the checkpoint. */
  volumes?: readonly SlotVolume[]
  /** Set for a template that was built here: how to boot it again when its memory is incompatible. */
  template?: TemplateStart
}

export interface TemplateStart {
  environment: BuildEnvironment
  startCommand?: string
  readyCommand?: string
  /** Keys of the layers of the build, including the booted result. Absent in templates of older versions. */
  keys?: string[]
}
