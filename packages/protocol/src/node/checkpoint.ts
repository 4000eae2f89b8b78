import type { BuildResources } from './resources.ts'

/** A checkpoint that is complete on this node. */
export interface CheckpointInfo {
  checkpointId: string
  /** true: processes, memory and files. false: only the file system. */
  hasMemory: boolean
  sizeBytes: number
  createdAtMs: number
  resources: BuildResources
  /** Version of runsc that wrote the checkpoint: no other version can restore its memory. */
  engineVersion: string
}

/** Paths that differ between two file systems, by what happened to them; each list is sorted. */
export interface FileDiff {
  added: string[]
  changed: string[]
  deleted: string[]
}

export interface DiffOptions {
  /** Team that the diff is for: teams take turns. Default: no team. */
  owner?: string
  /** Names the call for `cancelDiff`. Default: it cannot be cancelled. */
  operationId?: string
}

export interface GarbageReport {
  /** Chunks that no checkpoint needs: those deleted, or with a dry run those that would be. */
  chunks: number
  bytes: number
  /** Chunks that stay. */
  keptChunks: number
  keptBytes: number
}

export interface CheckpointUsage {
  /** Bytes of the files as they were written. */
  logicalBytes: number
  /** Bytes that the chunks of these files use in a store, each chunk counted once. */
  storedBytes: number
  /** Part of `storedBytes` that other checkpoints use too, so that a deletion would not free it. */
  sharedBytes: number
}

export interface UsageReport extends CheckpointUsage {
  /** By id; ids that are not known are absent. */
  checkpoints: Record<string, CheckpointUsage>
}

/** A file by its content. */
export interface ExportedFile {
  sha256: string
  sizeBytes: number
  /** Nanoseconds since 1970, as text: gVisor restores an open file only when this time is unchanged. */
  modifiedAtNs: string
}

/** Files that a checkpoint needs but does not contain: the image below its written layer, and its envd. */
export interface ExportedBase {
  image: ExportedFile
  envd: ExportedFile
}

/** Result of removing what builds of a template left. */
export interface ReleasedTemplate {
  /** Bytes of layers and images; packed chunks are freed by the next garbage collection. */
  freedBytes: number
  /** Number of sandboxes, snapshots and other templates that still need the template's image, which is kept for them. */
  neededBy: number
}

/** Layers and images that builds of a template have left, read while the template's checkpoints still exist. */
export interface ReleasePlan {
  /** Keys of layers. */
  layerKeys: string[]
  /** Keys of images in the node's image store. */
  imageKeys: string[]
}
