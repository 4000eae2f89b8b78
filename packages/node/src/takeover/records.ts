import { isCheckpointId, isSandboxId, SandlotError } from '@sandlot/protocol'
import type {
  ExportedFile,
  FoundRecord,
  Instance,
  SandboxRecord,
  TakeoverRecords,
} from '@sandlot/protocol/node'
import { idOfKey, type ObjectStore } from '../objects/object-store.ts'
import type { TaggedStore } from '../objects/tagged-store.ts'
import { renewLease, silenceOf } from './lease.ts'
import { RecordSeal } from './sealed-record.ts'

const PREFIX = 'sandboxes/'
const SUFFIX = '.json.enc'
/** Limit for the rows of one sandbox, including its metadata, in base64. */
const MAX_RECORD_BYTES = 4 * 2 ** 20
/** Limit of the list, because the owner of the bucket can add any number of objects. */
const MAX_RECORDS = 100_000
const keyOf = (sandboxId: string): string => `${PREFIX}${sandboxId}${SUFFIX}`

/**
 * Records of paused sandboxes in the bucket, with which another machine can take these over. The record names the owner
 * of the sandbox; ownership changes by a conditional put, so one of two machines wins.
 */
export class SandboxRecords implements TakeoverRecords {
  readonly instance: Instance
  readonly #store: ObjectStore & TaggedStore
  readonly #seal: RecordSeal

  constructor(store: ObjectStore & TaggedStore, secret: string, instance: Instance) {
    this.#store = store
    this.#seal = new RecordSeal(secret)
    this.instance = instance
  }

  /** @throws SandlotError forbidden, invalid_request, checkpoint_damaged, checkpoint_store_unavailable */
  async find(sandboxId: string): Promise<FoundRecord | undefined> {
    const found = await this.#store.getTagged(keyOf(sandboxId), MAX_RECORD_BYTES)
    return found && { record: checked(sandboxId, this.#seal.open(sandboxId, found.content)), tag: found.tag }
  }

  /** Lists the ids of all sandboxes with a record, of any owner. Keys of another form are ignored. */
  async ids(): Promise<string[]> {
    const ids: string[] = []
    for await (const { key } of this.#store.list(PREFIX)) {
      const id = idOfKey(key.slice(0, -'.enc'.length))
      if (key !== keyOf(id) || !isSandboxId(id)) continue
      if (ids.length === MAX_RECORDS)
        throw new SandlotError(
          'checkpoint_damaged',
          `${this.#store.name} names more than ${MAX_RECORDS} sandboxes below ${PREFIX}`,
        )
      ids.push(id)
    }
    return ids
  }

  /**
   * Writes a record with this instance as the owner.
   * @param replaced tag of the version that is replaced; undefined when there must be none
   * @throws SandlotError conflict when another instance has written meanwhile
   */
  async write(record: Omit<SandboxRecord, 'owner'>, replaced: string | undefined): Promise<void> {
    const { sandboxId } = record
    const content = this.#seal.close(sandboxId, { ...record, owner: this.instance })
    if ((await this.#store.putTagged(keyOf(sandboxId), content, replaced)) === undefined)
      throw new SandlotError(
        'conflict',
        `the record of sandbox '${sandboxId}' was changed by another machine meanwhile; try again`,
      )
  }

  /** Removes a record. Only its owner may call this, after it has marked the record `taken`, which prevents a takeover. */
  async remove(sandboxId: string): Promise<void> {
    await this.#store.delete(keyOf(sandboxId))
  }

  /** Renews the lease of this instance. */
  renewLease(): Promise<void> {
    return renewLease(this.#store, this.instance.instanceId)
  }

  /** Milliseconds since an instance last renewed its lease, undefined when it never did. Call `renewLease` before. */
  silenceOf(instanceId: string): Promise<number | undefined> {
    return silenceOf(this.#store, instanceId, this.instance.instanceId)
  }
}

/**
 * Validates a record, in particular fields that become paths, although only a machine with the secret can have written
 * it.
 */
function checked(sandboxId: string, opened: unknown): SandboxRecord {
  const record = opened as SandboxRecord
  const isFile = (file: ExportedFile | undefined) =>
    /^[0-9a-f]{64}$/.test(file?.sha256 ?? '') &&
    /^\d{1,20}$/.test(file?.modifiedAtNs ?? '') &&
    Number.isSafeInteger(file?.sizeBytes)
  const isWhole =
    record?.sandboxId === sandboxId &&
    typeof record.owner?.instanceId === 'string' &&
    isCheckpointId(record.checkpointId) &&
    isFile(record.base?.image) &&
    isFile(record.base?.envd)
  if (isWhole) return record
  throw new SandlotError('checkpoint_damaged', `the record of sandbox '${sandboxId}' is incomplete`)
}
