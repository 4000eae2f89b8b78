import type { ExportedBase } from './checkpoint.ts'

/** An instance of Sandlot: one home on one machine. */
export interface Instance {
  instanceId: string
  /** Said to people: the name of its machine. */
  name: string
}

/** What the bucket says of a sandbox. Whoever changes it must be its owner, or take it over. */
export interface SandboxRecord {
  sandboxId: string
  owner: Instance
  /** `taken`: its owner has resumed it, so what was saved is not the newest any more. */
  state: 'paused' | 'taken'
  checkpointId: string
  /** What the checkpoint needs beside itself. */
  base: ExportedBase
  /** The control plane's rows; the node does not look into them. */
  rows: unknown
}

export interface FoundRecord {
  record: SandboxRecord
  tag: string
}

/**
 * Records of paused sandboxes in the bucket, by which another machine can go on with them. Only the owner of a record
 * resumes the sandbox; ownership changes by a conditional put, so of two machines one gets it.
 */
export interface TakeoverRecords {
  readonly instance: Instance
  /** @throws SandlotError forbidden, invalid_request, checkpoint_damaged, checkpoint_store_unavailable */
  find(sandboxId: string): Promise<FoundRecord | undefined>
  /**
   * Writes the record with this instance as the owner.
   * @param replaced tag of the state that the record replaces; undefined: there is none yet
   * @throws SandlotError conflict when another machine has written meanwhile
   */
  write(record: Omit<SandboxRecord, 'owner'>, replaced: string | undefined): Promise<void>
  /** For the record's owner, which must have marked the record `taken` before: nobody takes over such a sandbox. */
  remove(sandboxId: string): Promise<void>
  /** Says that this instance lives. */
  renewLease(): Promise<void>
}
