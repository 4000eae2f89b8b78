import type { FoundRecord, TakeoverRecords } from '@sandlot/protocol/node'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import { within } from '../concurrency/within.ts'
import { movedTo } from '../sandboxes/errors.ts'
import type { SandboxOperations } from '../sandboxes/operations.ts'
import type { LiveSandbox } from '../sandboxes/sandbox.ts'
import { type KillReason, TAKEN_OVER_BY } from '../sandboxes/state.ts'
import type { TakeoverRows } from './import.ts'

const TICK_MS = 2_000
const LEASE_RENEWAL_MS = 60_000
/** Delay before a retry after the bucket did not answer. */
const RETRY_MS = 30_000
/** How long a resume waits for the bucket. */
const CLAIM_TIMEOUT_MS = 15_000

export interface TakeoversOptions {
  operations: SandboxOperations
  checkpoints: CheckpointRepository
  /** Absent: this server has no bucket, and every method does nothing. */
  records: TakeoverRecords | undefined
  /** Ends the local copy of a sandbox that another machine has taken over. */
  end: (sandboxId: string, reason: KillReason) => void
}

/**
 * Keeps a record of each paused sandbox in the bucket, so that another machine can take the sandbox over when this
 * machine is gone. Only the owner of the record resumes a sandbox. Claiming a record is a conditional put, so of two
 * machines one succeeds.
 */
export class Takeovers {
  readonly #operations: SandboxOperations
  readonly #checkpoints: CheckpointRepository
  readonly #records: TakeoverRecords | undefined
  readonly #end: TakeoversOptions['end']
  /** Sandboxes whose record may be out of date. */
  readonly #dirty = new Set<string>()
  #renewedAtMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor({ operations, checkpoints, records, end }: TakeoversOptions) {
    this.#operations = operations
    this.#checkpoints = checkpoints
    this.#records = records
    this.#end = end
  }

  /** Checks the records of all sandboxes, and writes records from now on. */
  start(): void {
    if (!this.#records) return
    for (const sandbox of this.#operations.registry.all()) this.markDirty(sandbox)
    this.#next(0)
  }

  /**
   * Schedules the record of a sandbox that was paused, or rolled back while paused: it is written once the checkpoint is
   * in the bucket.
   */
  markDirty({ sandboxId }: LiveSandbox): void {
    if (this.#records) this.#dirty.add(sandboxId)
  }

  #next(delayMs: number): void {
    this.#timer = setTimeout(async () => {
      const nextMs = await this.flush().then(
        () => TICK_MS,
        (err) => {
          this.#operations.logger.warn({ err }, 'records of paused sandboxes could not be written; retrying')
          return RETRY_MS
        },
      )
      if (this.#timer) this.#next(nextMs)
    }, delayMs)
    this.#timer.unref()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Renews the lease and writes the pending records. */
  async flush(): Promise<void> {
    if (!this.#records) return
    const nowMs = performance.now()
    if (nowMs - this.#renewedAtMs >= LEASE_RENEWAL_MS) {
      await this.#records.renewLease()
      this.#renewedAtMs = nowMs
    }
    for (const sandboxId of [...this.#dirty]) {
      const sandbox = this.#operations.registry.get(sandboxId)
      if (sandbox?.state === 'paused') await this.#publish(sandboxId, sandbox.checkpointId!)
      else if (!sandbox || sandbox.state === 'running') this.#dirty.delete(sandboxId)
    }
  }

  async #publish(sandboxId: string, checkpointId: string): Promise<void> {
    const { node, registry } = this.#operations
    const records = this.#records!
    const base = await node.exportBase(checkpointId)
    const checkpoint = await this.#checkpoints.find(checkpointId)
    if (!base || !checkpoint?.isComplete) return
    await this.#operations.exclusively(sandboxId, async () => {
      const sandbox = registry.get(sandboxId)
      if (sandbox?.state !== 'paused' || sandbox.checkpointId !== checkpointId) return
      const found = await records.find(sandboxId)
      if (found && this.#isElsewhere(found)) return this.#giveUp(sandboxId, found)
      const rows: TakeoverRows = { sandbox, checkpoint }
      if (found?.record.state !== 'paused' || found.record.checkpointId !== checkpointId)
        await records.write({ sandboxId, state: 'paused', checkpointId, base, rows }, found?.tag)
      this.#dirty.delete(sandboxId)
    })
  }

  /**
   * Prevents other machines from taking a sandbox over, before this machine resumes it. Called under the sandbox's lock.
   * @throws SandlotError conflict: another machine has taken it over, checkpoint_store_unavailable, operation_timeout
   */
  async claim({ sandboxId }: LiveSandbox): Promise<void> {
    if (!this.#records) return
    const what = `the bucket does not say which machine owns sandbox '${sandboxId}'`
    await within(CLAIM_TIMEOUT_MS, this.#claimRecord(sandboxId), what, { mayHaveActed: false })
  }

  async #claimRecord(sandboxId: string): Promise<void> {
    const records = this.#records!
    // if the resume fails, the sandbox stays paused and the record must be published again
    this.#dirty.add(sandboxId)
    const found = await records.find(sandboxId)
    if (!found) return
    if (this.#isElsewhere(found)) {
      this.#giveUp(sandboxId, found)
      throw movedTo(sandboxId, found.record.owner.name)
    }
    if (found.record.state === 'paused') await records.write({ ...found.record, state: 'taken' }, found.tag)
  }

  /**
   * Removes the record of a sandbox that was killed.
   * @returns the checkpoint that another machine uses, if it took the sandbox over
   */
  async remove(sandboxId: string): Promise<string | undefined> {
    if (!this.#records) return undefined
    this.#dirty.delete(sandboxId)
    const found = await this.#records.find(sandboxId)
    if (!found) return undefined
    if (this.#isElsewhere(found)) return found.record.checkpointId
    // claimed first, so that no machine can take the sandbox over between this check and the removal
    if (found.record.state === 'paused')
      await this.#records.write({ ...found.record, state: 'taken' }, found.tag)
    await this.#records.remove(sandboxId)
    return undefined
  }

  #isElsewhere(found: FoundRecord): boolean {
    return found.record.owner.instanceId !== this.#records!.instance.instanceId
  }

  /** Ends a sandbox that another machine has taken over. */
  #giveUp(sandboxId: string, { record }: FoundRecord): void {
    this.#operations.logger.warn(
      { sandboxId, to: record.owner },
      'a paused sandbox was taken over by another machine',
    )
    this.#end(sandboxId, `${TAKEN_OVER_BY}${record.owner.name}`)
  }
}
