import { join } from 'node:path'
import { AdoptedBases, isFresh, PackedCheckpoints, type SandboxRecords } from '@sandlot/node'
import { SandlotError } from '@sandlot/protocol'
import type { FoundRecord } from '@sandlot/protocol/node'
import { openTakeoverImport, type TakeoverImport, type TakeoverRows } from '@sandlot/server'
import type { Config } from './config.ts'
import { makeHome } from './home-folder.ts'
import { createLogger } from './logger.ts'
import { type Bucket, openBucket } from './machine.ts'
import { openNodeId } from './node-id.ts'
import { becomeServer } from './server-lock.ts'
import { storeUrl } from './store-url.ts'
import { recordsIn } from './wiring.ts'

/** A sandbox of another instance, as recorded in the bucket. */
export interface Candidate {
  sandboxId: string
  /** Name of the machine that has the sandbox, and the id of its instance. */
  owner: string
  instanceId: string
  templateName: string
  pausedAtMs: number | undefined
  sizeBytes: number
  /** Why the sandbox cannot be taken over now; absent when it can. */
  obstacle?: string
  /** Whether `--force` overrides the obstacle. */
  isForceable: boolean
}

/** Takes over paused sandboxes of other machines for a home whose server does not run. */
export class Adopter {
  readonly #bucket: Bucket
  readonly #records: SandboxRecords
  readonly #rows: TakeoverImport
  readonly #home: string

  private constructor(bucket: Bucket, records: SandboxRecords, rows: TakeoverImport, home: string) {
    this.#bucket = bucket
    this.#records = records
    this.#rows = rows
    this.#home = home
  }

  /** @throws SandlotError invalid_request: no bucket or secret, conflict: the server of this home runs */
  static async with<T>(config: Config, work: (adopter: Adopter) => Promise<T>): Promise<T> {
    const { settings } = config
    const bucket = await openBucket(settings)
    const open = recordsIn(config, bucket)
    if (!bucket || !open)
      throw new SandlotError(
        'invalid_request',
        `${bucket ? 'checkpointSecret' : 'checkpointBucket'} is not set: adopting needs checkpointBucket and checkpointSecret with the values of the other machine`,
      )
    makeHome(settings.home)
    const lock = becomeServer(settings.home, { listen: settings.listen, domain: settings.domain })
    try {
      const rows = await openTakeoverImport(
        storeUrl(settings),
        settings.store === 'sqlite' ? undefined : openNodeId(settings.home),
      )
      try {
        return await work(new Adopter(bucket, open(rows.instanceId), rows, settings.home))
      } finally {
        await rows.close()
      }
    } finally {
      bucket.records.close()
      lock.release()
    }
  }

  /** Lists sandboxes of other instances, and sandboxes with an interrupted takeover. */
  async candidates(): Promise<Candidate[]> {
    await this.#records.renewLease()
    const all: Candidate[] = []
    for (const sandboxId of await this.#records.ids())
      if (!(await this.#rows.has(sandboxId))) all.push(await this.#candidate(sandboxId))
    return all
  }

  /** Describes a record; an unreadable record is listed with the reason. */
  async #candidate(sandboxId: string): Promise<Candidate> {
    try {
      const found = await this.#records.find(sandboxId)
      if (found) return await this.#describe(found)
      return unreadable(sandboxId, 'its record has just been removed')
    } catch (error) {
      if (!(error instanceof SandlotError) || error.errorName === 'checkpoint_store_unavailable') throw error
      return unreadable(sandboxId, error.message)
    }
  }

  async #describe(found: FoundRecord): Promise<Candidate> {
    const { sandboxId, owner, state, rows } = found.record
    const { sandbox, checkpoint } = rows as TakeoverRows
    const isOwn = owner.instanceId === this.#records.instance.instanceId
    const silentMs = isOwn ? undefined : await this.#records.silenceOf(owner.instanceId)
    const obstacle =
      state === 'taken'
        ? `it was resumed on '${owner.name}' and not paused again`
        : isFresh(silentMs)
          ? `'${owner.name}' was alive ${Math.round(silentMs! / 1000)} s ago`
          : undefined
    return {
      sandboxId,
      obstacle,
      isForceable: state === 'paused',
      owner: owner.name,
      instanceId: owner.instanceId,
      templateName: sandbox.templateName,
      pausedAtMs: sandbox.pausedAtMs,
      sizeBytes: checkpoint.sizeBytes,
    }
  }

  /**
   * Takes a sandbox over for this home; its checkpoint is fetched at the next resume.
   * @param isForced takes the sandbox over even if the other machine seems to be alive
   * @throws SandlotError not_found, conflict, checkpoint_damaged, checkpoint_store_unavailable
   */
  async adopt(sandboxId: string, isForced: boolean): Promise<void> {
    if (await this.#rows.has(sandboxId))
      throw new SandlotError('conflict', `sandbox '${sandboxId}' is on this machine already`)
    // the age of the other instance's lease is measured against this lease
    await this.#records.renewLease()
    const found = await this.#records.find(sandboxId)
    if (!found)
      throw new SandlotError(
        'not_found',
        `${this.#bucket.records.name} has no record of sandbox '${sandboxId}'; \`sandlot adopt --list\` lists its records`,
      )
    const { obstacle, isForceable, owner } = await this.#describe(found)
    if (obstacle && !(isForced && isForceable))
      throw new SandlotError(
        'conflict',
        `sandbox '${sandboxId}' cannot be taken over: ${obstacle}${isForceable ? '. If you are sure that machine is dead, use --force' : ''}`,
      )
    await this.#fetch(found)
    await this.#records.write(found.record, found.tag)
    await this.#rows.insert(found.record.rows as TakeoverRows, owner)
  }

  /** Fetches everything that the sandbox needs except the chunks of the checkpoint, which stay in the bucket. */
  async #fetch({ record: { checkpointId, base } }: FoundRecord): Promise<void> {
    await new AdoptedBases(join(this.#home, 'adopted')).fetch(this.#bucket.checkpoints, checkpointId, base)
    const checkpoints = await PackedCheckpoints.open({
      dir: join(this.#home, 'packed'),
      remote: { ...this.#bucket.checkpoints, close() {} },
      logger: createLogger('silent'),
    })
    try {
      await checkpoints.learn(checkpointId)
    } finally {
      await checkpoints.close()
    }
  }
}

const unreadable = (sandboxId: string, obstacle: string): Candidate => ({
  sandboxId,
  obstacle,
  isForceable: false,
  owner: 'unknown',
  instanceId: 'unknown',
  templateName: 'unknown',
  pausedAtMs: undefined,
  sizeBytes: 0,
})
