import type { FoundRecord, TakeoverRecords } from '@sandlot/protocol/node'
import type { CheckpointRepository } from '../checkpoints/repository.ts'
import { within } from '../concurrency/within.ts'
import { type Life, movedTo } from '../sandboxes/operations.ts'
import type { LiveSandbox } from '../sandboxes/sandbox.ts'
import { MOVED } from '../sandboxes/state.ts'
import type { AdoptableRows } from './import.ts'

const TICK_MS = 2_000
const LEASE_RENEWAL_MS = 60_000
/** After the bucket did not answer. */
const RETRY_MS = 30_000
/** Whoever resumes waits for the bucket no longer. */
const CLAIM_TIMEOUT_MS = 15_000

/**
 * Keeps a record of each paused sandbox in the bucket, by which another machine can go on with it when this one is
 * gone. Only the owner of its record resumes a sandbox: taking it is a conditional put, so of two machines one has it.
 * Without records nothing is done.
 */
export class Handovers {
  readonly #life: Life
  readonly #checkpoints: CheckpointRepository
  readonly #records: TakeoverRecords | undefined
  /** Sandboxes whose record may not be as it should be. */
  readonly #owed = new Set<string>()
  #renewedAtMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(life: Life, checkpoints: CheckpointRepository, records: TakeoverRecords | undefined) {
    this.#life = life
    this.#checkpoints = checkpoints
    this.#records = records
  }

  start(): void {
    if (!this.#records) return
    for (const sandbox of this.#life.registry.all()) this.owe(sandbox)
    this.#next(0)
  }

  /** It was paused, or taken back to an earlier checkpoint while it is: its record is written when its checkpoint is in the bucket. */
  owe({ sandboxId }: LiveSandbox): void {
    if (this.#records) this.#owed.add(sandboxId)
  }

  #next(delayMs: number): void {
    this.#timer = setTimeout(async () => {
      const nextMs = await this.align().then(
        () => TICK_MS,
        (err) => {
          this.#life.logger.warn(
            { err },
            'records of paused sandboxes could not be written; it is tried again',
          )
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

  /** Renews the lease, and writes the records that are owed. */
  async align(): Promise<void> {
    if (!this.#records) return
    const nowMs = performance.now()
    if (nowMs - this.#renewedAtMs >= LEASE_RENEWAL_MS) {
      await this.#records.renewLease()
      this.#renewedAtMs = nowMs
    }
    for (const sandboxId of [...this.#owed]) {
      const sandbox = this.#life.registry.get(sandboxId)
      if (sandbox?.state === 'paused') await this.#offer(sandboxId, sandbox.checkpointId!)
      else if (!sandbox || sandbox.state === 'running') this.#owed.delete(sandboxId)
    }
  }

  async #offer(sandboxId: string, checkpointId: string): Promise<void> {
    const { node, registry } = this.#life
    const records = this.#records!
    const base = await node.exportBase(checkpointId)
    const checkpoint = await this.#checkpoints.find(checkpointId)
    if (!base || !checkpoint?.isComplete) return
    await this.#life.exclusively(sandboxId, async () => {
      const sandbox = registry.get(sandboxId)
      if (sandbox?.state !== 'paused' || sandbox.checkpointId !== checkpointId) return
      const found = await records.find(sandboxId)
      if (found && this.#isElsewhere(found)) return this.#giveUp(sandboxId, found)
      const rows: AdoptableRows = { sandbox, checkpoint }
      if (found?.record.state !== 'paused' || found.record.checkpointId !== checkpointId)
        await records.write({ sandboxId, state: 'paused', checkpointId, base, rows }, found?.tag)
      this.#owed.delete(sandboxId)
    })
  }

  /**
   * Before a sandbox is resumed, under its lock: from now on nobody else may go on with it.
   * @throws SandlotError conflict: another machine has it, checkpoint_store_unavailable, operation_timeout
   */
  async claim({ sandboxId }: LiveSandbox): Promise<void> {
    if (!this.#records) return
    const what = `the bucket does not say whose sandbox '${sandboxId}' is`
    await within(CLAIM_TIMEOUT_MS, this.#take(sandboxId), what, { mayHaveActed: false })
  }

  async #take(sandboxId: string): Promise<void> {
    const records = this.#records!
    // should it stay paused
    this.#owed.add(sandboxId)
    const found = await records.find(sandboxId)
    if (!found) return
    if (this.#isElsewhere(found)) {
      this.#giveUp(sandboxId, found)
      throw movedTo(sandboxId, found.record.owner.name)
    }
    if (found.record.state === 'paused') await records.write({ ...found.record, state: 'taken' }, found.tag)
  }

  /**
   * Of a sandbox that was killed.
   * @returns the checkpoint that another machine goes on from
   */
  async end(sandboxId: string): Promise<string | undefined> {
    if (!this.#records) return undefined
    this.#owed.delete(sandboxId)
    const found = await this.#records.find(sandboxId)
    if (!found) return undefined
    if (this.#isElsewhere(found)) return found.record.checkpointId
    // nobody can take it over between here and there
    if (found.record.state === 'paused')
      await this.#records.write({ ...found.record, state: 'taken' }, found.tag)
    await this.#records.remove(sandboxId)
    return undefined
  }

  #isElsewhere(found: FoundRecord): boolean {
    return found.record.owner.instanceId !== this.#records!.instance.instanceId
  }

  #giveUp(sandboxId: string, { record }: FoundRecord): void {
    this.#life.logger.warn(
      { sandboxId, to: record.owner },
      'a paused sandbox was taken over by another machine',
    )
    this.#life.endUnasked(sandboxId, `${MOVED}${record.owner.name}`)
  }
}
