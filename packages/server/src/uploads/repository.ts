import type { Store } from '../store/open-store.ts'
import { inTransaction } from '../store/transactions.ts'

export interface UploadRecord {
  teamId: string
  hash: string
  sizeBytes: number
  usedAtMs: number
}

/** Archives for COPY steps, and the templates that they were sent for. */
export class UploadRepository {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  async all(): Promise<UploadRecord[]> {
    return (await this.#store.selectFrom('uploads').selectAll().execute()).map((row) => ({
      teamId: row.team_id,
      hash: row.hash,
      sizeBytes: row.size_bytes,
      usedAtMs: row.used_at,
    }))
  }

  /** Lists the ids of all teams. */
  async teamIds(): Promise<Set<string>> {
    return new Set((await this.#store.selectFrom('teams').select('id').execute()).map(({ id }) => id))
  }

  /** @throws when the template is gone */
  async insert({ teamId, hash, sizeBytes, usedAtMs }: UploadRecord, templateId?: string): Promise<void> {
    const values = { team_id: teamId, hash, size_bytes: sizeBytes, used_at: usedAtMs }
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .insertInto('uploads')
        .values(values)
        .onConflict((conflict) => conflict.columns(['team_id', 'hash']).doUpdateSet(values))
        .execute()
      if (templateId !== undefined) await new UploadRepository(transaction).use(teamId, hash, templateId)
    })
  }

  /** @throws when the template is gone */
  async use(teamId: string, hash: string, templateId: string): Promise<void> {
    await this.#store
      .insertInto('upload_uses')
      .values({ team_id: teamId, hash, template_id: templateId })
      .onConflict((conflict) => conflict.doNothing())
      .execute()
  }

  async touch(teamId: string, hash: string, nowMs: number): Promise<void> {
    await this.#store
      .updateTable('uploads')
      .set({ used_at: nowMs })
      .where('team_id', '=', teamId)
      .where('hash', '=', hash)
      .execute()
  }

  /** Lists the archives that only this template uses. */
  async onlyFor(templateId: string): Promise<Array<{ teamId: string; hash: string }>> {
    const rows = await this.#store
      .selectFrom('upload_uses as own')
      .select(['own.team_id', 'own.hash'])
      .where('own.template_id', '=', templateId)
      .where(({ not, exists, selectFrom }) =>
        not(
          exists(
            selectFrom('upload_uses as other')
              .select('other.hash')
              .whereRef('other.team_id', '=', 'own.team_id')
              .whereRef('other.hash', '=', 'own.hash')
              .where('other.template_id', '!=', templateId),
          ),
        ),
      )
      .execute()
    return rows.map((row) => ({ teamId: row.team_id, hash: row.hash }))
  }

  async remove(teamId: string, hash: string): Promise<void> {
    await this.#store.deleteFrom('uploads').where('team_id', '=', teamId).where('hash', '=', hash).execute()
  }
}
