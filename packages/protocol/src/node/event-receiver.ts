import type { SandboxNode } from './contract.ts'
import type { EventPosition, EventSubscription, NodeEventOf, NodeEventType, SentEvent } from './events.ts'

/** Delay before an acknowledgement that failed is sent again; doubles with each further failure. */
const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000

type Handler<E> = (event: E) => Promise<void> | void

/**
 * Calls the handlers of each event of a node exactly once, and acknowledges an event when the handlers of that event and
 * of all earlier ones have finished. Handlers are called in the order of the events and may finish in any order. An
 * acknowledgement that fails is sent again.
 */
export class EventReceiver {
  readonly #node: Pick<SandboxNode, 'subscribe' | 'acknowledge'>
  readonly #onError: (error: unknown) => void
  readonly #handlers = new Map<NodeEventType, Array<Handler<never>>>()
  /** Position of the last event that handlers were called for. */
  #received: EventPosition | undefined
  /** Sequence numbers of events whose handlers have not finished, in ascending order. */
  readonly #pending = new Set<number>()
  #subscription: EventSubscription | undefined
  #isAcknowledging = false
  /** Set while an acknowledgement that failed waits to be sent again. */
  #retry: NodeJS.Timeout | undefined
  #retryMs = FIRST_RETRY_MS

  constructor(node: Pick<SandboxNode, 'subscribe' | 'acknowledge'>, onError: (error: unknown) => void) {
    this.#node = node
    this.#onError = onError
  }

  /** @param handle resolves when the event is recorded; a failure is logged and counts as recorded */
  on<T extends NodeEventType>(type: T, handle: Handler<NodeEventOf<T>>): void {
    this.#handlers.set(type, [...(this.#handlers.get(type) ?? []), handle])
  }

  /** Subscribes. Also called after a lost connection; handlers are not called twice for one event. */
  start(): void {
    this.#subscription = this.#node.subscribe(this.#received, (sent) => this.#receive(sent))
    // an acknowledgement may have been lost with the connection
    if (this.#received) this.#acknowledgeSoon()
  }

  close(): void {
    clearTimeout(this.#retry)
    this.#subscription?.close()
    this.#subscription = undefined
  }

  #receive({ epoch, sequence, isKept, event }: SentEvent): void {
    if (this.#received?.epoch !== epoch) {
      this.#received = { epoch, sequence: 0 }
      this.#pending.clear()
    }
    // sent again, because its acknowledgement was lost
    if (isKept && sequence <= this.#received.sequence) return
    const working = this.#handle(event)
    if (!isKept) return
    this.#received = { epoch, sequence }
    if (!working) {
      this.#acknowledgeSoon()
      return
    }
    this.#pending.add(sequence)
    void working.then(() => {
      if (this.#received?.epoch !== epoch) return
      this.#pending.delete(sequence)
      this.#acknowledgeSoon()
    })
  }

  /** @returns undefined when all handlers finished synchronously */
  #handle(event: SentEvent['event']): Promise<unknown> | undefined {
    const pending: Promise<void>[] = []
    for (const handle of this.#handlers.get(event.type) ?? [])
      try {
        const working = handle(event as never)
        if (working) pending.push(working.catch(this.#onError))
      } catch (error) {
        this.#onError(error)
      }
    return pending.length > 0 ? Promise.all(pending) : undefined
  }

  /** Acknowledges once for all events that were recorded in this turn of the event loop. */
  #acknowledgeSoon(): void {
    if (this.#isAcknowledging) return
    this.#isAcknowledging = true
    queueMicrotask(() => {
      this.#isAcknowledging = false
      const [oldestPending] = this.#pending
      const { epoch, sequence } = this.#received!
      const upTo = oldestPending === undefined ? sequence : oldestPending - 1
      if (upTo > 0) this.#acknowledge({ epoch, sequence: upTo })
    })
  }

  #acknowledge(position: EventPosition): void {
    clearTimeout(this.#retry)
    this.#node.acknowledge(position).then(
      () => {
        this.#retryMs = FIRST_RETRY_MS
      },
      (error) => {
        this.#onError(error)
        if (!this.#subscription) return
        clearTimeout(this.#retry)
        this.#retry = setTimeout(() => this.#acknowledgeSoon(), this.#retryMs)
        this.#retry.unref()
        this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS)
      },
    )
  }
}
