import type { Schema } from '../api/schema.ts'
import type { SandboxApiOpts } from './options.ts'

/** Cause of a checkpoint: a call of `pause`, the end of life, `createSnapshot`, or `checkpoint`. */
export type SandboxCheckpointReason = 'pause' | 'auto-pause' | 'snapshot' | 'checkpoint'

/** A saved state that a sandbox can be rolled back to. */
export interface SandboxCheckpoint {
  checkpointId: string
  /** Id of the preceding checkpoint, which may have been deleted since; undefined for the first checkpoint. */
  parentId?: string
  createdAt: Date
  why: SandboxCheckpointReason
  /** false: only the files were saved, so that a rollback boots the sandbox again. */
  hasMemory: boolean
  /** Size of the stored data in bytes. */
  sizeBytes: number
  /** Whether the sandbox is paused in this state, or was last started from it. */
  isHead: boolean
  /** Ids of snapshots with this state, for `Sandbox.create()`. */
  names: string[]
}

/** How many checkpoints a sandbox keeps. Snapshots, and the checkpoint that the sandbox runs from, are always kept. */
export interface SandboxKeepPolicy {
  /** Number of checkpoints besides the one that the sandbox runs from, 0 to 1000. */
  last: number
  /** Maximum age in **seconds**; older checkpoints are deleted. @default no limit */
  maxAgeSeconds?: number
}

/** The checkpoints of a sandbox, oldest first; `parentId` links the checkpoints to a tree. */
export interface SandboxTree {
  sandboxId: string
  checkpoints: SandboxCheckpoint[]
  keep: SandboxKeepPolicy
}

/** Absolute paths that differ between two checkpoints in content, mode or target; times alone do not count. */
export interface SandboxDiff {
  /** Checkpoint. */
  from: string
  /** Checkpoint. */
  to: string
  added: string[]
  changed: string[]
  deleted: string[]
  /** Whether a list was cut at 10 000 paths. */
  isTruncated: boolean
}

export interface SandboxDiffOpts extends SandboxApiOpts {
  /** Id of a checkpoint. @default the parent of `to` */
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
