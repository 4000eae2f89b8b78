import { randomUUID } from 'node:crypto'
import type { ConnectionRecord, NetworkOwner } from '@sandlot/protocol/node'

/** What a record is about: an `AcceptedConnection`, a request on one with its own start, or a DNS query. */
export interface RecordOrigin {
  owner: NetworkOwner
  /** IPv4 address that the sandbox connected to. */
  address?: string
  port?: number
  startedAtMs: number
}

/** What became of it. */
export type RecordOutcome = Omit<
  ConnectionRecord,
  keyof NetworkOwner | 'recordId' | 'startedAtMs' | 'durationMs' | 'address' | 'port'
>

/** Passes one record for everything that ended on to whoever keeps records. */
export class Recorder {
  readonly #listeners: Array<(record: ConnectionRecord) => void> = []

  onRecord(listener: (record: ConnectionRecord) => void): void {
    this.#listeners.push(listener)
  }

  /** Records what ends now. */
  record({ owner, address, port, startedAtMs }: RecordOrigin, outcome: RecordOutcome): void {
    const record: ConnectionRecord = {
      recordId: randomUUID(),
      sandboxId: owner.sandboxId,
      teamId: owner.teamId,
      startedAtMs,
      durationMs: Math.max(0, Date.now() - startedAtMs),
      ...(address !== undefined && { address }),
      ...(port !== undefined && { port }),
      ...outcome,
    }
    for (const listener of this.#listeners) listener(record)
  }
}
