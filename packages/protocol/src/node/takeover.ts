import type { ExportedBase } from './checkpoint.ts'

/** An instance of Sandlot: one home on one machine. */
export interface Instance {
  instanceId: string
  /** Name of the machine, shown to users. */
  name: string
}

/**
 * Record of a paused sandbox in the bucket. Only the record's owner changes the record; another instance must take over
 * the record first.
 */
export interface SandboxRecord {
  sandboxId: string
  owner: Instance
  /** `taken`: the owner has resumed the sandbox, so the saved state is outdated. */
  state: 'paused' | 'taken'
  checkpointId: string
  /** Image and envd files that the checkpoint needs. */
  base: ExportedBase
  /** The control plane's rows; the node does not look into them. */
  rows: unknown
}

export interface FoundRecord {
  record: SandboxRecord
  tag: string
}

/**
 * Records of paused sandboxes in the bucket, with which another machine can take them over. Only the owner of a
 * record resumes the sandbox; ownership changes by a conditional put, so that only one of two machines succeeds.
 */
export interface TakeoverRecords {
  readonly instance: Instance
  /** @throws SandlotError forbidden, invalid_request, checkpoint_damaged, checkpoint_store_unavailable */
  find(sandboxId: string): Promise<FoundRecord | undefined>
  /**
   * Writes the record with this instance as the owner.
   * @param replaced tag of the record that is replaced; undefined: there is no record yet
   * @throws SandlotError conflict when another machine has written meanwhile
   */
  write(record: Omit<SandboxRecord, 'owner'>, replaced: string | undefined): Promise<void>
  /**
   * Deletes a record. Callers own the record and have marked it `taken`, so that no other machine takes over the sandbox
   * meanwhile.
   */
  remove(sandboxId: string): Promise<void>
  /** Renews the lease that tells other instances that this one is alive. */
  renewLease(): Promise<void>
}
