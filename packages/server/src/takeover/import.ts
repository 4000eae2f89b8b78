import { SandlotError } from '@sandlot/protocol'
import { type CheckpointRecord, completeCheckpoint, insertCheckpoint } from '../checkpoints/repository.ts'
import { lifecycleEvent } from '../events/events.ts'
import { SandboxRepository } from '../sandboxes/repository.ts'
import type { LiveSandbox } from '../sandboxes/sandbox.ts'
import { openInstanceId } from '../store/instance-id.ts'
import { openStore } from '../store/open-store.ts'
import { inTransaction } from '../store/transactions.ts'
import { ensureDefaultTeam } from '../teams/repository.ts'

/** The control plane's part of a sandbox's record in the bucket. */
export interface TakeoverRows {
  sandbox: LiveSandbox
  checkpoint: CheckpointRecord
}

/** Imports sandboxes of other machines into the database of a home whose server does not run. */
export interface TakeoverImport {
  instanceId: string
  /** Tells whether a sandbox of this id runs or is paused here. */
  has(sandboxId: string): Promise<boolean>
  /**
   * Inserts a paused sandbox of the default team, with the same id and tokens; the next start of the server shows it.
   * @param from name of the machine that the sandbox comes from, for its events
   * @throws SandlotError conflict: the sandbox runs or is paused here already
   */
  insert(rows: TakeoverRows, from: string): Promise<void>
  close(): Promise<void>
}

/** @param nodeId home that the sandboxes are imported to; empty for a SQLite database */
export async function openTakeoverImport(
  storeUrl: string,
  nodeId = '',
  now = Date.now,
): Promise<TakeoverImport> {
  const store = await openStore(storeUrl)
  const stateOf = async (sandboxId: string): Promise<string | undefined> =>
    (await store.selectFrom('sandboxes').select('state').where('id', '=', sandboxId).executeTakeFirst())
      ?.state
  const has = async (sandboxId: string): Promise<boolean> =>
    !['killed', undefined].includes(await stateOf(sandboxId))

  return {
    instanceId: await openInstanceId(store),
    has,

    async insert({ sandbox: saved, checkpoint }, from) {
      const { teamId } = await ensureDefaultTeam(store)
      const sandbox: LiveSandbox = { ...saved, teamId, state: 'paused', address: '' }
      const { sandboxId } = sandbox
      if (await has(sandboxId))
        throw new SandlotError('conflict', `sandbox '${sandboxId}' is on this machine already`)
      const event = lifecycleEvent('updated', sandbox, now(), { adopted: { from } })
      await inTransaction(store, async (transaction) => {
        // the sandbox may have been on this machine earlier
        await transaction.deleteFrom('sandboxes').where('id', '=', sandboxId).execute()
        await transaction.deleteFrom('checkpoints').where('id', '=', checkpoint.checkpointId).execute()
        // the parent of the checkpoint is not imported
        await insertCheckpoint(transaction, { ...checkpoint, teamId, parentId: undefined }, nodeId)
        await completeCheckpoint(transaction, checkpoint)
        await new SandboxRepository(transaction, nodeId).insert(sandbox)
        await transaction.insertInto('events').values(event).execute()
      })
    },

    close: () => store.destroy(),
  }
}
