import type { CheckpointInfo } from '@sandlot/protocol/node'
import type { CheckpointReason } from '../sandboxes/state.ts'
import type { Store } from '../store/open-store.ts'
import type { CheckpointsTable } from '../store/schema.ts'
import { inTransaction } from '../store/transactions.ts'

/** A checkpoint that is about to be made. */
export interface NewCheckpoint {
  checkpointId: string
  teamId: string
  sandboxId: string
  parentId: string | undefined
  why: CheckpointReason
  hasMemory: boolean
  /** envd did not answer when the memory was saved, so it would not answer after a resume with this memory either. */
  isGuestUnresponsive?: boolean
  createdAtMs: number
}

export type SavedCheckpoint = Pick<CheckpointInfo, 'checkpointId' | 'sizeBytes'>

export interface CheckpointRecord extends NewCheckpoint {
  sizeBytes: number
  isComplete: boolean
  /** The checkpoint is being deleted on purpose: the next start of the server continues the deletion. */
  isDeleting: boolean
}

/** Whether a sandbox can be rolled back to a checkpoint. */
export const isLasting = ({ isComplete, why }: CheckpointRecord): boolean => isComplete && why !== 'fork'

/** Rows of checkpoints, each with its parent. */
export class CheckpointRepository {
  readonly #store: Store
  readonly #nodeId: string

  /** @param nodeId home of the checkpoints' files */
  constructor(store: Store, nodeId = '') {
    this.#store = store
    this.#nodeId = nodeId
  }

  insert(checkpoint: NewCheckpoint): Promise<void> {
    return insertCheckpoint(this.#store, checkpoint, this.#nodeId)
  }

  complete(checkpoint: SavedCheckpoint): Promise<void> {
    return completeCheckpoint(this.#store, checkpoint)
  }

  async find(checkpointId: string): Promise<CheckpointRecord | undefined> {
    const row = await this.#store
      .selectFrom('checkpoints')
      .selectAll()
      .where('id', '=', checkpointId)
      .executeTakeFirst()
    return row && toRecord(row)
  }

  /** Lists the checkpoints of a sandbox, oldest first. */
  async of(sandboxId: string): Promise<CheckpointRecord[]> {
    const rows = await this.#store
      .selectFrom('checkpoints')
      .selectAll()
      .where('sandbox_id', '=', sandboxId)
      .orderBy('created_at')
      .execute()
    return rows.map(toRecord)
  }

  /**
   * Lists the complete checkpoints of a sandbox, oldest first, except those of forks, which are deleted once the forks run.
   */
  async lasting(sandboxId: string): Promise<CheckpointRecord[]> {
    return (await this.of(sandboxId)).filter(isLasting)
  }

  /** Lists ids of checkpoints on other homes of this database. */
  async idsElsewhere(): Promise<string[]> {
    const rows = await this.#store
      .selectFrom('checkpoints')
      .select('id')
      .where('node_id', '<>', this.#nodeId)
      .execute()
    return rows.map(({ id }) => id)
  }

  /** Lists the checkpoints of this home. */
  async all(): Promise<CheckpointRecord[]> {
    const rows = await this.#store
      .selectFrom('checkpoints')
      .selectAll()
      .where('node_id', '=', this.#nodeId)
      .execute()
    return rows.map(toRecord)
  }

  /** Records that a checkpoint is about to be deleted: its files may be incomplete from now on. */
  setDeleting(checkpointId: string): Promise<void> {
    return setDeleting(this.#store, [checkpointId])
  }

  /** Deletes a row; the children of the checkpoint become children of its parent. */
  async remove(checkpointId: string): Promise<void> {
    await inTransaction(
      this.#store,
      async (transaction) => {
        const row = await transaction
          .selectFrom('checkpoints')
          .select('parent_id')
          .where('id', '=', checkpointId)
          .executeTakeFirst()
        if (!row) return
        await transaction
          .updateTable('checkpoints')
          .set({ parent_id: row.parent_id })
          .where('parent_id', '=', checkpointId)
          .execute()
        await transaction.deleteFrom('checkpoints').where('id', '=', checkpointId).execute()
      },
      'serializable',
    )
  }

  async idsOf(teamId: string): Promise<string[]> {
    const rows = await this.#store
      .selectFrom('checkpoints')
      .select('id')
      .where('team_id', '=', teamId)
      .where('state', '<>', 'deleting')
      .execute()
    return rows.map(({ id }) => id)
  }

  /** Counts a team's checkpoints and their bytes. */
  async usage(teamId: string): Promise<{ count: number; sizeBytes: number }> {
    const row = await this.#store
      .selectFrom('checkpoints')
      .select((column) => [
        column.fn.countAll<number>().as('count'),
        column.fn.sum<number | null>('size_bytes').as('size_bytes'),
      ])
      .where('team_id', '=', teamId)
      .where('state', '<>', 'deleting')
      .executeTakeFirstOrThrow()
    return { count: Number(row.count), sizeBytes: Number(row.size_bytes ?? 0) }
  }
}

export async function insertCheckpoint(
  store: Store,
  checkpoint: NewCheckpoint,
  nodeId: string,
): Promise<void> {
  await store
    .insertInto('checkpoints')
    .values({
      id: checkpoint.checkpointId,
      team_id: checkpoint.teamId,
      sandbox_id: checkpoint.sandboxId,
      parent_id: checkpoint.parentId ?? null,
      why: checkpoint.why,
      state: 'writing',
      has_memory: Number(checkpoint.hasMemory),
      guest_unresponsive: Number(checkpoint.isGuestUnresponsive ?? false),
      size_bytes: 0,
      created_at: checkpoint.createdAtMs,
      node_id: nodeId,
    })
    // a caller that does not know whether the row was written may try again
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute()
}

export async function completeCheckpoint(
  store: Store,
  { checkpointId, sizeBytes }: SavedCheckpoint,
): Promise<void> {
  await store
    .updateTable('checkpoints')
    .set({ state: 'complete', size_bytes: sizeBytes })
    .where('id', '=', checkpointId)
    .execute()
}

export async function setDeleting(store: Store, checkpointIds: readonly string[]): Promise<void> {
  if (checkpointIds.length === 0) return
  await store.updateTable('checkpoints').set({ state: 'deleting' }).where('id', 'in', checkpointIds).execute()
}

const toRecord = (row: CheckpointsTable): CheckpointRecord => ({
  checkpointId: row.id,
  teamId: row.team_id,
  sandboxId: row.sandbox_id,
  parentId: row.parent_id ?? undefined,
  why: row.why as CheckpointReason,
  isComplete: row.state === 'complete',
  isDeleting: row.state === 'deleting',
  hasMemory: row.has_memory === 1,
  isGuestUnresponsive: row.guest_unresponsive === 1,
  sizeBytes: row.size_bytes,
  createdAtMs: row.created_at,
})
