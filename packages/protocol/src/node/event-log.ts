import { randomUUID } from 'node:crypto'
import type { EventPosition, EventSubscription, NodeEvent, SentEvent } from './events.ts'

/** Most build log lines, and most bytes of them, that are kept for a disconnected subscriber, over all builds. */
const MAX_KEPT_LINES = 20_000
const MAX_KEPT_LINE_BYTES = 16 * 2 ** 20
/** Most records of connections that are kept for a disconnected subscriber; one takes a few hundred bytes. */
const MAX_KEPT_RECORDS = 20_000

export interface EventLogLimits {
  lines: number
  bytes: number
  records: number
}

/**
 * Keeps the events of a node until the control plane has acknowledged them. Exits, stalls and ends of builds are always
 * kept; build log lines and records of connections up to limits, beyond which they are only counted; samples and counts are not kept.
 */
export class EventLog {
  readonly epoch = randomUUID()
  readonly #limits: EventLogLimits
  readonly #onError: (error: unknown) => void
  readonly #kept: SentEvent[] = []
  #sequence = 0
  #keptLines = 0
  #keptLineBytes = 0
  #keptRecords = 0
  /** Records of connections that were neither kept nor delivered. */
  #droppedRecords = 0
  /** Lines that were neither kept nor delivered, by build. */
  readonly #droppedLines = new Map<string, number>()
  #receive: ((sent: SentEvent) => void) | undefined

  /** @param onError called with what a subscriber throws: neither the emitter nor other events suffer from that */
  constructor(
    onError: (error: unknown) => void,
    {
      lines = MAX_KEPT_LINES,
      bytes = MAX_KEPT_LINE_BYTES,
      records = MAX_KEPT_RECORDS,
    }: Partial<EventLogLimits> = {},
  ) {
    this.#onError = onError
    this.#limits = { lines, bytes, records }
  }

  emit(event: NodeEvent): void {
    if (event.type === 'samples' || event.type === 'connectionLimit') this.#add(event, false)
    else if (event.type === 'buildLog') this.#addLine(event)
    else if (event.type === 'connections') this.#addConnections(event)
    else {
      if (event.type === 'buildEnded') this.#tellDropped(event.buildId)
      this.#add(event, true)
    }
  }

  /**
   * Sends the unacknowledged events after `after`, then all new ones. A new subscriber replaces the previous one.
   */
  subscribe(after: EventPosition | undefined, receive: (sent: SentEvent) => void): EventSubscription {
    this.#receive = receive
    const first = after?.epoch === this.epoch ? after.sequence : 0
    for (const sent of [...this.#kept])
      if (sent.sequence > first && this.#receive === receive) this.#send(sent)
    if (this.#receive === receive)
      for (const buildId of [...this.#droppedLines.keys()]) this.#tellDropped(buildId)
    if (this.#receive === receive && this.#droppedRecords > 0)
      this.#addConnections({ type: 'connections', records: [], dropped: 0 })
    return {
      close: () => {
        if (this.#receive === receive) this.#receive = undefined
      },
    }
  }

  /** Drops the events up to `position`, which the receiver has recorded; a position of another epoch is ignored. */
  acknowledge({ epoch, sequence }: EventPosition): void {
    if (epoch !== this.epoch) return
    let count = 0
    for (const sent of this.#kept) {
      if (sent.sequence > sequence) break
      count++
      if (sent.event.type === 'connections') this.#keptRecords -= sent.event.records.length
      if (sent.event.type !== 'buildLog') continue
      this.#keptLines--
      this.#keptLineBytes -= sent.event.line.message.length
    }
    this.#kept.splice(0, count)
  }

  #addLine(event: NodeEvent & { type: 'buildLog' }): void {
    const isFull = this.#keptLines >= this.#limits.lines || this.#keptLineBytes >= this.#limits.bytes
    if (isFull && !this.#receive) {
      this.#droppedLines.set(event.buildId, (this.#droppedLines.get(event.buildId) ?? 0) + 1)
      return
    }
    if (!isFull) {
      this.#keptLines++
      this.#keptLineBytes += event.line.message.length
    }
    this.#add(event, !isFull)
  }

  #addConnections({ records, dropped }: NodeEvent & { type: 'connections' }): void {
    const isFull = this.#keptRecords >= this.#limits.records
    if (isFull && !this.#receive) {
      this.#droppedRecords += records.length + dropped
      return
    }
    const total = dropped + this.#droppedRecords
    this.#droppedRecords = 0
    if (!isFull) this.#keptRecords += records.length
    this.#add({ type: 'connections', records, dropped: total }, !isFull)
  }

  #tellDropped(buildId: string): void {
    const count = this.#droppedLines.get(buildId)
    if (count === undefined) return
    this.#droppedLines.delete(buildId)
    const message = `${count} lines are missing here: the control plane could not be reached`
    this.#keptLines++
    this.#keptLineBytes += message.length
    this.#add({ type: 'buildLog', buildId, line: { level: 'warn', message } }, true)
  }

  #add(event: NodeEvent, isKept: boolean): void {
    if (isKept) this.#sequence++
    const sent = { epoch: this.epoch, sequence: this.#sequence, isKept, event }
    if (isKept) this.#kept.push(sent)
    this.#send(sent)
  }

  #send(sent: SentEvent): void {
    try {
      this.#receive?.(sent)
    } catch (error) {
      this.#onError(error)
    }
  }
}
