import type { EventStore, JSONRPCMessage } from '@modelcontextprotocol/server'

const MAX_EVENTS = 5000
const MAX_SIZE_BYTES = 16 * 1024 * 1024

interface Event {
  session: string
  stream: string
  message: JSONRPCMessage
  sizeBytes: number
}

/**
 * The latest events of all sessions, from which a client that lost its stream gets what it missed. The oldest go first;
 * one that is larger than everything together is not kept.
 */
export class EventLog {
  readonly #events = new Map<string, Event>()
  #sizeBytes = 0
  #count = 0

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Returns the view of one session, which the SDK's transport takes. */
  storeOf(session: () => string): EventStore {
    return {
      storeEvent: async (stream, message) => this.#add(session(), stream, message),
      getStreamIdForEventId: async (id) => {
        const event = this.#events.get(id)
        return event?.session === session() ? event.stream : undefined
      },
      replayEventsAfter: async (lastId, { send }) => {
        const last = this.#events.get(lastId)
        if (!last || last.session !== session()) throw new Error(`the event '${lastId}' is not kept any more`)
        for (const [id, event] of this.#after(lastId)) {
          if (event.session === last.session && event.stream === last.stream) await send(id, event.message)
        }
        return last.stream
      },
    }
  }

  forget(session: string): void {
    for (const [id, event] of this.#events) if (event.session === session) this.#remove(id, event)
  }

  #after(lastId: string): Array<[string, Event]> {
    const all = [...this.#events]
    return all.slice(all.findIndex(([id]) => id === lastId) + 1)
  }

  #add(session: string, stream: string, message: JSONRPCMessage): string {
    const id = `${++this.#count}`
    const sizeBytes = JSON.stringify(message).length
    if (sizeBytes > MAX_SIZE_BYTES) return id
    this.#events.set(id, { session, stream, message, sizeBytes })
    this.#sizeBytes += sizeBytes
    for (const [oldest, event] of this.#events) {
      if (this.#events.size <= MAX_EVENTS && this.#sizeBytes <= MAX_SIZE_BYTES) break
      this.#remove(oldest, event)
    }
    return id
  }

  #remove(id: string, event: Event): void {
    this.#events.delete(id)
    this.#sizeBytes -= event.sizeBytes
  }
}
