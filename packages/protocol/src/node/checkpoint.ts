import type { BuildResources } from './resources.ts'

/** What is on disk of a sandbox's past. */
export interface CheckpointInfo {
  checkpointId: string
  /** Processes and memory, or only the file system. */
  hasMemory: boolean
  sizeBytes: number
  createdAtMs: number
  resources: BuildResources
  /** runsc that wrote it: no other reads its memory. */
  engineVersion: string
}

/** Paths by what happened to them on the way from one file system to the other, sorted. */
export interface FileDiff {
  added: string[]
  changed: string[]
  deleted: string[]
}

export interface DiffOptions {
  /** Team whose share of the comparisons of this machine is used. Default: no team's. */
  owner?: string
  /** Names the call for `cancelDiff`. Default: it cannot be cancelled. */
  operationId?: string
}

export interface GarbageReport {
  /** Chunks that no checkpoint needs: deleted, or with a dry run to be deleted. */
  chunks: number
  bytes: number
  /** Chunks that stay. */
  keptChunks: number
  keptBytes: number
}

export interface CheckpointUsage {
  /** Bytes of the files as they were written. */
  logicalBytes: number
  /** Bytes that their chunks take in a store, each chunk once. */
  storedBytes: number
  /** Of these, what other checkpoints use too: deleting would not free them. */
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
  /** Nanoseconds since 1970, as text: gVisor restores an open file only when it is the same. */
  modifiedAtNs: string
}

/** What a checkpoint needs that is not in it: the image below its written layer, and the envd that runs in it. */
export interface ExportedBase {
  image: ExportedFile
  envd: ExportedFile
}

/** What is left of a template that was removed. */
export interface ReleasedTemplate {
  /** Of layers and images; what was packed is free after the next collection. */
  freedBytes: number
  /** Snapshots, paused sandboxes, sandboxes that run and other templates that its image stays for. */
  neededBy: number
}

/** What builds of a template have left beside its checkpoints, read while these are still there. */
export interface ReleasePlan {
  /** Keys of layers. */
  layerKeys: string[]
  /** Keys of images in the node's image store. */
  imageKeys: string[]
}
