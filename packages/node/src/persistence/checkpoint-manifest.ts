import type { BuildEnvironment, CheckpointInfo } from '@sandlot/protocol/node'

/** What `manifest.json` says of a checkpoint; it appears last, so a folder without one does not count. */
export interface CheckpointManifest extends CheckpointInfo {
  /** The image that the writable layer lies over. */
  imagePath: string
  /** The folder with the envd that runs in it: its pages are read from there again. */
  guestDir: string
  cpuFeatures: string[]
  /** It is a template that was built here: how it is brought up again when its memory does not fit any more. */
  template?: TemplateStart
}

export interface TemplateStart {
  environment: BuildEnvironment
  startCommand?: string
  readyCommand?: string
  /** Layers that it was built with, the booted result among them. Absent: it is from before they were remembered. */
  keys?: string[]
}
