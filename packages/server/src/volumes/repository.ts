import type { Store } from '../store/open-store.ts'
import type { VolumesTable } from '../store/schema.ts'
import { inTransaction } from '../store/transactions.ts'

/** A volume as its row describes it. */
export interface Volume {
  volumeId: string
  teamId: string
  name: string
  sizeBytes: number
  createdAtMs: number
  /** Id of the volume that this is a snapshot of: nobody changes the files. */
  snapshotOf?: string
  /** The files exist. */
  isReady: boolean
  /** Set while the volume can be restored. */
  deletedAtMs?: number
}

/** What the volumes of a team take together, deleted ones included. */
export interface VolumeTotals {
  count: number
  sizeBytes: number
}

/** Rows of volumes. Those that are not ready yet have a name, too, but are only listed by `unfinished`. */
export class VolumeRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async list(teamId: string): Promise<Volume[]> {
    const rows = await this.#store
      .selectFrom('volumes')
      .selectAll()
      .where('team_id', '=', teamId)
      .where('ready_at', 'is not', null)
      .where('deleted_at', 'is', null)
      .orderBy('created_at', 'desc')
      .orderBy('id')
      .execute()
    return rows.map(toVolume)
  }

  async listDeleted(teamId: string): Promise<Volume[]> {
    const rows = await this.#store
      .selectFrom('volumes')
      .selectAll()
      .where('team_id', '=', teamId)
      .where('deleted_at', 'is not', null)
      .orderBy('deleted_at', 'desc')
      .orderBy('id')
      .execute()
    return rows.map(toVolume)
  }

  /** Finds a volume that is ready, deleted or not. */
  async find(teamId: string, volumeId: string): Promise<Volume | undefined> {
    const row = await this.#store
      .selectFrom('volumes')
      .selectAll()
      .where('team_id', '=', teamId)
      .where('id', '=', volumeId)
      .where('ready_at', 'is not', null)
      .executeTakeFirst()
    return row && toVolume(row)
  }

  /** Sandboxes of the team that have a volume mounted, those included that another server runs. */
  async usersOf(teamId: string, volumeId: string): Promise<string[]> {
    const rows = await this.#store
      .selectFrom('sandboxes')
      .select('id')
      .where('team_id', '=', teamId)
      .where('state', 'not in', ['killing', 'killed'])
      .where('settings', 'like', `%"${volumeId}"%`)
      .orderBy('id')
      .execute()
    return rows.map(({ id }) => id)
  }

  /** Volumes of all teams whose files may not be where their rows say. */
  async all(): Promise<Volume[]> {
    return (await this.#store.selectFrom('volumes').selectAll().execute()).map(toVolume)
  }

  /** The volumes that were deleted longest ago. */
  async deletedBefore(timeMs: number, limit: number): Promise<Volume[]> {
    const rows = await this.#store
      .selectFrom('volumes')
      .selectAll()
      .where('deleted_at', '<', timeMs)
      .orderBy('deleted_at')
      .limit(limit)
      .execute()
    return rows.map(toVolume)
  }

  /**
   * Inserts a volume that is not ready, in one transaction with `check`, so that concurrent creates cannot pass a limit.
   * @param check called with what the team has; its error ends the transaction
   * @returns false when the team has a volume of this name
   */
  insert(volume: Omit<Volume, 'isReady'>, check: (totals: VolumeTotals) => void): Promise<boolean> {
    const { volumeId, teamId, name, sizeBytes, createdAtMs, snapshotOf } = volume
    return inTransaction(
      this.#store,
      async (transaction) => {
        check(await totalsIn(transaction, teamId))
        const row = { id: volumeId, team_id: teamId, name, size_bytes: sizeBytes, created_at: createdAtMs }
        const result = await transaction
          .insertInto('volumes')
          .values({ ...row, ready_at: null, deleted_at: null, snapshot_of: snapshotOf ?? null })
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirst()
        return result.numInsertedOrUpdatedRows === 1n
      },
      'serializable',
    )
  }

  async setReady(volumeId: string, timeMs: number): Promise<void> {
    await this.#store.updateTable('volumes').set({ ready_at: timeMs }).where('id', '=', volumeId).execute()
  }

  /** @param check called with what the team has; its error ends the transaction */
  setSize(
    { teamId, volumeId }: Volume,
    sizeBytes: number,
    check: (totals: VolumeTotals) => void,
  ): Promise<void> {
    return inTransaction(
      this.#store,
      async (transaction) => {
        check(await totalsIn(transaction, teamId))
        await transaction
          .updateTable('volumes')
          .set({ size_bytes: sizeBytes })
          .where('id', '=', volumeId)
          .execute()
      },
      'serializable',
    )
  }

  async setDeleted(volumeId: string, timeMs: number): Promise<void> {
    await this.#store.updateTable('volumes').set({ deleted_at: timeMs }).where('id', '=', volumeId).execute()
  }

  /** @returns false when another volume of the team has the name now */
  async setRestored({ teamId, volumeId, name }: Volume): Promise<boolean> {
    return inTransaction(
      this.#store,
      async (transaction) => {
        const other = await transaction
          .selectFrom('volumes')
          .select('id')
          .where('team_id', '=', teamId)
          .where('name', '=', name)
          .where('deleted_at', 'is', null)
          .executeTakeFirst()
        if (other) return false
        await transaction
          .updateTable('volumes')
          .set({ deleted_at: null })
          .where('id', '=', volumeId)
          .execute()
        return true
      },
      'serializable',
    )
  }

  async delete(volumeId: string): Promise<void> {
    await this.#store.deleteFrom('volumes').where('id', '=', volumeId).execute()
  }
}

async function totalsIn(store: Store, teamId: string): Promise<VolumeTotals> {
  const rows = await store.selectFrom('volumes').select('size_bytes').where('team_id', '=', teamId).execute()
  return { count: rows.length, sizeBytes: rows.reduce((sum, row) => sum + Number(row.size_bytes), 0) }
}

const toVolume = (row: VolumesTable): Volume => ({
  volumeId: row.id,
  teamId: row.team_id,
  name: row.name,
  sizeBytes: Number(row.size_bytes),
  createdAtMs: Number(row.created_at),
  isReady: row.ready_at !== null,
  ...(row.snapshot_of !== null && { snapshotOf: row.snapshot_of }),
  ...(row.deleted_at !== null && { deletedAtMs: Number(row.deleted_at) }),
})
