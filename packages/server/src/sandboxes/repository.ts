import type { Insertable } from 'kysely'
import {
  completeCheckpoint,
  insertCheckpoint,
  type NewCheckpoint,
  type SavedCheckpoint,
} from '../checkpoints/repository.ts'
import type { Store } from '../store/open-store.ts'
import type { EventsTable, SandboxesTable } from '../store/schema.ts'
import { inTransaction } from '../store/transactions.ts'
import type { LiveSandbox, SavedAs } from './sandbox.ts'
import { type KillReason, type SandboxState, TAKEN_OVER_BY } from './state.ts'

const PRUNE_BATCH = 500

export type EventRow = Insertable<EventsTable>

export class SandboxRepository {
  readonly #store: Store
  readonly #nodeId: string

  /** @param nodeId home of the sandboxes; rows of other homes are left to the servers of those homes */
  constructor(store: Store, nodeId = '') {
    this.#store = store
    this.#nodeId = nodeId
  }

  async insert(sandbox: LiveSandbox): Promise<void> {
    await this.#store.insertInto('sandboxes').values(this.#toRow(sandbox)).execute()
  }

  #toRow(sandbox: LiveSandbox): Insertable<SandboxesTable> {
    return {
      id: sandbox.sandboxId,
      team_id: sandbox.teamId,
      template_id: sandbox.templateId,
      template_name: sandbox.templateName,
      build_id: sandbox.buildId,
      execution_id: sandbox.executionId,
      machine_id: sandbox.machineId,
      state: sandbox.state,
      started_at: sandbox.startedAtMs,
      end_at: sandbox.endAtMs,
      envd_access_token: sandbox.envdAccessToken ?? null,
      settings: JSON.stringify(sandbox.settings),
      metadata: JSON.stringify(sandbox.metadata),
      cpu_count: sandbox.cpuCount,
      memory_mb: sandbox.memoryMB,
      disk_size_mb: sandbox.diskSizeMB,
      checkpoint_id: sandbox.checkpointId ?? null,
      paused_at: sandbox.pausedAtMs ?? null,
      default_user: sandbox.defaultUser,
      default_workdir: sandbox.defaultWorkdir ?? null,
      node_id: this.#nodeId,
    }
  }

  /**
   * Records that a create has failed, also when the row is not there yet: an insert whose answer was lost may still come,
   * and is refused then. May come more than once.
   * @param event the end of the sandbox, recorded if its begin was
   */
  async setCreateFailed(sandbox: LiveSandbox, endedAtMs: number, event: EventRow): Promise<void> {
    const ended = { state: 'killed', kill_reason: 'create_failed', ended_at: endedAtMs }
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .insertInto('sandboxes')
        .values({ ...this.#toRow(sandbox), ...ended })
        .onConflict((conflict) => conflict.column('id').doUpdateSet(ended))
        .execute()
      const begun = await transaction
        .selectFrom('events')
        .select('id')
        .where('sandbox_id', '=', sandbox.sandboxId)
        .limit(1)
        .executeTakeFirst()
      if (begun) await insertEvent(transaction, event, false)
    })
  }

  /** Writes what changes of a sandbox again, as memory holds the sandbox. A sandbox that has ended stays so. */
  async rewrite(sandbox: LiveSandbox): Promise<void> {
    const { id: _, ...row } = this.#toRow(sandbox)
    await this.#store
      .updateTable('sandboxes')
      .set(row)
      .where('id', '=', sandbox.sandboxId)
      .where('state', 'not in', ['killing', 'killed'])
      .execute()
  }

  /** Records that a sandbox is about to be paused: from now on files of the checkpoint may be on disk. */
  async setPausing(sandboxId: string, checkpoint: NewCheckpoint): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await insertCheckpoint(transaction, checkpoint, this.#nodeId)
      await transaction
        .updateTable('sandboxes')
        .set({ state: 'pausing', checkpoint_id: checkpoint.checkpointId })
        .where('id', '=', sandboxId)
        .execute()
    })
  }

  /** Undoes a pause that failed. Does nothing to a sandbox that has changed since. */
  async undoPausing(sandbox: LiveSandbox, checkpointId: string): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .updateTable('sandboxes')
        .set({ state: 'running', checkpoint_id: sandbox.checkpointId ?? null })
        .where('id', '=', sandbox.sandboxId)
        .where('state', '=', 'pausing')
        .where('checkpoint_id', '=', checkpointId)
        .execute()
      await transaction.deleteFrom('checkpoints').where('id', '=', checkpointId).execute()
    })
  }

  /**
   * May be called late and more than once: a sandbox that has changed since is left alone, and the event is inserted
   * once.
   */
  async setPaused(sandbox: LiveSandbox, checkpoint: SavedCheckpoint, event: EventRow): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await completeCheckpoint(transaction, checkpoint)
      const { numUpdatedRows } = await transaction
        .updateTable('sandboxes')
        .set({ state: 'paused', paused_at: event.timestamp })
        .where('id', '=', sandbox.sandboxId)
        .where('state', '=', 'pausing')
        .where('checkpoint_id', '=', checkpoint.checkpointId)
        .executeTakeFirst()
      await insertEvent(transaction, event, numUpdatedRows > 0n)
    })
  }

  /** Records a new run of a sandbox, after a resume or a rollback. */
  async setResumed(sandbox: LiveSandbox, event: EventRow): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .updateTable('sandboxes')
        .set({
          state: 'running',
          machine_id: sandbox.machineId,
          execution_id: sandbox.executionId,
          checkpoint_id: sandbox.checkpointId ?? null,
          started_at: sandbox.startedAtMs,
          end_at: sandbox.endAtMs,
          paused_at: null,
        })
        .where('id', '=', sandbox.sandboxId)
        .execute()
      await transaction.insertInto('events').values(event).execute()
    })
  }

  /**
   * Records the checkpoint that a running or paused sandbox descends from. The state is written again: after a pause that
   * failed without an answer the row may still say `pausing`, and a start would take the new checkpoint for that pause's.
   */
  async setHead(
    { sandboxId, state, pausedAtMs }: LiveSandbox,
    checkpointId: string,
    event: EventRow,
  ): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .updateTable('sandboxes')
        .set({ checkpoint_id: checkpointId, state, paused_at: pausedAtMs ?? null })
        .where('id', '=', sandboxId)
        .execute()
      await transaction.insertInto('events').values(event).execute()
    })
  }

  /** @param event recorded in the same transaction */
  async setSettings({ sandboxId, settings }: LiveSandbox, event?: EventRow): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .updateTable('sandboxes')
        .set({ settings: JSON.stringify(settings) })
        .where('id', '=', sandboxId)
        .execute()
      if (event) await transaction.insertInto('events').values(event).execute()
    })
  }

  async setKilling(sandboxId: string, reason: KillReason): Promise<void> {
    await this.#store
      .updateTable('sandboxes')
      .set({ state: 'killing', kill_reason: reason })
      .where('id', '=', sandboxId)
      // a statement whose answer was lost may come after the end
      .where('state', '<>', 'killed')
      .execute()
  }

  async setRunning(sandbox: LiveSandbox, event: EventRow): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .updateTable('sandboxes')
        .set({ state: 'running', started_at: sandbox.startedAtMs, end_at: sandbox.endAtMs })
        .where('id', '=', sandbox.sandboxId)
        .execute()
      await transaction
        .updateTable('templates')
        .set((column) => ({
          spawn_count: column('spawn_count', '+', 1),
          last_spawned_at: sandbox.startedAtMs,
        }))
        .where('id', '=', sandbox.templateId)
        .execute()
      await transaction.insertInto('events').values(event).execute()
    })
  }

  async setEnd(sandboxId: string, endAtMs: number, event: EventRow): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      await transaction
        .updateTable('sandboxes')
        .set({ end_at: endAtMs })
        .where('id', '=', sandboxId)
        .execute()
      await transaction.insertInto('events').values(event).execute()
    })
  }

  /** Records an event of a sandbox whose row does not change. */
  async addEvent(event: EventRow): Promise<void> {
    await this.#store.insertInto('events').values(event).execute()
  }

  /** May be called more than once: the event is inserted once. */
  async setKilled(sandboxId: string, reason: KillReason, endedAtMs: number, event?: EventRow): Promise<void> {
    await inTransaction(this.#store, async (transaction) => {
      const { numUpdatedRows } = await transaction
        .updateTable('sandboxes')
        .set({ state: 'killed', kill_reason: reason, ended_at: endedAtMs })
        .where('id', '=', sandboxId)
        .where('state', '<>', 'killed')
        .executeTakeFirst()
      if (event) await insertEvent(transaction, event, numUpdatedRows > 0n)
    })
  }

  /** Lists the sandboxes of this home that are not killed, for the start of the server. */
  async alive(): Promise<LiveSandbox[]> {
    const rows = await this.#store
      .selectFrom('sandboxes')
      .leftJoin('checkpoints', 'checkpoints.id', 'sandboxes.checkpoint_id')
      .selectAll('sandboxes')
      .select(['checkpoints.has_memory', 'checkpoints.guest_unresponsive'])
      .where('sandboxes.state', '<>', 'killed')
      .where('sandboxes.node_id', '=', this.#nodeId)
      .execute()
    return rows.map((row) => ({ ...toLiveSandbox(row), saved: savedAs(row) }))
  }

  /** Lists the sandboxes of other homes of this database that are not killed. */
  async elsewhere(): Promise<Array<{ sandboxId: string; teamId: string; nodeId: string }>> {
    return this.#store
      .selectFrom('sandboxes')
      .select(['id as sandboxId', 'team_id as teamId', 'node_id as nodeId'])
      .where('state', '<>', 'killed')
      .where('node_id', '<>', this.#nodeId)
      .execute()
  }

  /** Lists the sandboxes that other machines took over, while their rows are kept. */
  async takenOver(): Promise<Array<{ sandboxId: string; teamId: string; killReason: KillReason }>> {
    const rows = await this.#store
      .selectFrom('sandboxes')
      .select(['id', 'team_id', 'kill_reason'])
      .where('state', '=', 'killed')
      .where('kill_reason', 'like', `${TAKEN_OVER_BY}%`)
      .execute()
    return rows.map((row) => ({
      sandboxId: row.id,
      teamId: row.team_id,
      killReason: row.kill_reason as KillReason,
    }))
  }

  /**
   * Lists sandboxes that were killed, or ended by themselves while a server was running, and still have checkpoints.
   * Excludes sandboxes that a start recorded as lost, because a start with an older database finds many of those.
   */
  async endedWithCheckpoints(): Promise<string[]> {
    const rows = await this.#store
      .selectFrom('sandboxes')
      .innerJoin('checkpoints', 'checkpoints.sandbox_id', 'sandboxes.id')
      .select('sandboxes.id')
      .distinct()
      .where('sandboxes.state', 'in', ['killing', 'killed'])
      .where('sandboxes.kill_reason', '<>', 'lost')
      .where('checkpoints.node_id', '=', this.#nodeId)
      .execute()
    return rows.map(({ id }) => id)
  }

  /** Deletes rows of sandboxes that ended before `beforeMs`, a batch at a time. @returns how many */
  async prune(beforeMs: number): Promise<number> {
    const rows = await this.#store
      .selectFrom('sandboxes')
      .select('id')
      .where('state', '=', 'killed')
      .where('ended_at', '<', beforeMs)
      .limit(PRUNE_BATCH)
      .execute()
    if (rows.length === 0) return 0
    const ids = rows.map((row) => row.id)
    await this.#store.deleteFrom('sandboxes').where('id', 'in', ids).execute()
    return rows.length
  }
}

/** @param isNew false: an earlier attempt may have written the event although its answer was lost */
async function insertEvent(transaction: Store, event: EventRow, isNew: boolean): Promise<void> {
  const known =
    !isNew &&
    (await transaction
      .selectFrom('events')
      .select('id')
      .where('sandbox_id', '=', event.sandbox_id)
      .where('id', '=', event.id)
      .executeTakeFirst())
  if (!known) await transaction.insertInto('events').values(event).execute()
}

const savedAs = (row: {
  has_memory: number | null
  guest_unresponsive: number | null
}): SavedAs | undefined =>
  row.has_memory === null
    ? undefined
    : { hasMemory: row.has_memory === 1, isGuestUnresponsive: row.guest_unresponsive === 1 }

const toLiveSandbox = (row: SandboxesTable): LiveSandbox => ({
  sandboxId: row.id,
  teamId: row.team_id,
  templateId: row.template_id,
  templateName: row.template_name,
  buildId: row.build_id,
  executionId: row.execution_id,
  machineId: row.machine_id,
  address: '',
  state: row.state as SandboxState,
  killReason: (row.kill_reason as KillReason | null) ?? undefined,
  startedAtMs: row.started_at,
  endAtMs: row.end_at,
  envdAccessToken: row.envd_access_token ?? undefined,
  checkpointId: row.checkpoint_id ?? undefined,
  pausedAtMs: row.paused_at ?? undefined,
  settings: JSON.parse(row.settings),
  metadata: JSON.parse(row.metadata),
  cpuCount: row.cpu_count,
  memoryMB: row.memory_mb,
  diskSizeMB: row.disk_size_mb,
  defaultUser: row.default_user,
  defaultWorkdir: row.default_workdir ?? undefined,
})
