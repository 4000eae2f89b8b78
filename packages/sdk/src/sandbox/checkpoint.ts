import type { Schema } from '../api/schema.ts'
import type { SandboxApiOpts } from './options.ts'

/** What made a checkpoint: a call of `pause`, the end of life, `createSnapshot`, `checkpoint`. */
export type SandboxCheckpointReason = 'pause' | 'auto-pause' | 'snapshot' | 'checkpoint'

/** A moment of a sandbox that it can go back to. */
export interface SandboxCheckpoint {
  checkpointId: string
  /** What it came from; undefined for the first one. It may be deleted by now. */
  parentId?: string
  createdAt: Date
  why: SandboxCheckpointReason
  /** false: only the files were saved, going back to it boots the sandbox anew. */
  hasMemory: boolean
  /** In bytes, as it was written. */
  sizeBytes: number
  /** Whether the sandbox is paused as it, or ran on from it. */
  isHead: boolean
  /** The snapshots that are this checkpoint, as `Sandbox.create()` takes them. */
  names: string[]
}

/** How many checkpoints a sandbox keeps. Snapshots, and the one it runs from, stay in any case. */
export interface SandboxKeepPolicy {
  /** How many beside the one it runs from, 0 to 1000. */
  last: number
  /** In **seconds**; older ones are deleted. @default of any age */
  maxAgeSeconds?: number
}

/** The checkpoints of a sandbox, oldest first. `parentId` says what came from what. */
export interface SandboxTree {
  sandboxId: string
  checkpoints: SandboxCheckpoint[]
  keep: SandboxKeepPolicy
}

/** Absolute paths that differ between two checkpoints: in content, mode or target, not in their times alone. */
export interface SandboxDiff {
  /** Checkpoint. */
  from: string
  /** Checkpoint. */
  to: string
  added: string[]
  changed: string[]
  deleted: string[]
  /** There are more than the 10 000 of a kind that are listed. */
  isTruncated: boolean
}

export interface SandboxDiffOpts extends SandboxApiOpts {
  /** Id of a checkpoint. @default what `to` came from */
  from?: string
  /** Id of a checkpoint. @default the newest */
  to?: string
}

export interface SandboxKeepOpts extends SandboxKeepPolicy, SandboxApiOpts {}

export const toSandboxCheckpoint = (checkpoint: Schema<'Checkpoint'>): SandboxCheckpoint => ({
  checkpointId: checkpoint.checkpointID,
  ...(checkpoint.parentID !== null && { parentId: checkpoint.parentID }),
  createdAt: new Date(checkpoint.createdAt),
  why: checkpoint.why as SandboxCheckpointReason,
  hasMemory: checkpoint.memory,
  sizeBytes: checkpoint.sizeBytes,
  isHead: checkpoint.isHead,
  names: checkpoint.names,
})

export const toSandboxTree = ({ sandboxID, checkpoints, keep }: Schema<'SandboxTree'>): SandboxTree => ({
  sandboxId: sandboxID,
  checkpoints: checkpoints.map(toSandboxCheckpoint),
  keep,
})
