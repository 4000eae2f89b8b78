import {
  type EventPosition,
  type EventSubscription,
  fromErrorData,
  type SandboxNode,
  type SentEvent,
  toErrorData,
} from '../node/index.ts'

const METHODS = [
  'join',
  'acknowledge',
  'capacity',
  'builds',
  'status',
  'acquire',
  'init',
  'stop',
  'isGuestHealthy',
  'pause',
  'snapshot',
  'resume',
  'thaw',
  'setNetwork',
  'mountVolume',
  'unmountVolume',
  'checkpoints',
  'describe',
  'diff',
  'cancelDiff',
  'collectGarbage',
  'storageOf',
  'removeCheckpoint',
  'dropLocalCheckpoint',
  'exportBase',
  'addBuild',
  'removeBuild',
  'startBuild',
  'cancelBuild',
  'continueBuild',
  'checkArchive',
  'planRelease',
  'releaseTemplate',
  'close',
] as const satisfies Array<keyof SandboxNode>

type Missing = Exclude<keyof SandboxNode, (typeof METHODS)[number] | 'subscribe'>
// does not compile when the loopback lacks a member of the contract
const nothingMissing: Missing[] = [] satisfies never[]

export interface Loopback {
  /** The node as seen from the other end of the wire. */
  node: SandboxNode
  /** Breaks the connection: events in flight are lost. */
  drop(): void
  /** Connects again, and subscribes after the last event that arrived. */
  reconnect(): void
}

/** Puts a node behind a simulated wire: every call, answer, error and event is serialised to JSON and parsed again. */
export function loopbackTo(target: SandboxNode): Loopback {
  void nothingMissing
  const node: Record<string, unknown> = {}
  for (const method of METHODS)
    node[method] = async (...args: unknown[]) => {
      const answer = JSON.parse(await serve(target, method, JSON.stringify(args)))
      if ('error' in answer) throw fromErrorData(answer.error)
      return answer.value
    }
  const stream = new EventStream(target)
  node.subscribe = (after: EventPosition | undefined, receive: (sent: SentEvent) => void) =>
    stream.subscribe(after, receive)
  return {
    node: node as unknown as SandboxNode,
    drop: () => stream.drop(),
    reconnect: () => stream.connect(),
  }
}

/** Serves calls at the node's end of the wire: takes and returns JSON. */
async function serve(target: SandboxNode, method: keyof SandboxNode, request: string): Promise<string> {
  const args = (JSON.parse(request) as unknown[]).map((arg) => arg ?? undefined)
  try {
    const value = await (target[method] as (...args: unknown[]) => Promise<unknown>)(...args)
    return JSON.stringify({ value })
  } catch (error) {
    return JSON.stringify({ error: toErrorData(error) })
  }
}

/** Queue of events in flight from the node to its subscriber. */
class EventStream {
  readonly #target: SandboxNode
  #receive: ((sent: SentEvent) => void) | undefined
  #position: EventPosition | undefined
  #connection: EventSubscription | undefined

  constructor(target: SandboxNode) {
    this.#target = target
  }

  subscribe(after: EventPosition | undefined, receive: (sent: SentEvent) => void): EventSubscription {
    this.drop()
    this.#position = after
    this.#receive = receive
    this.connect()
    return {
      close: () => {
        if (this.#receive !== receive) return
        this.drop()
        this.#receive = undefined
      },
    }
  }

  connect(): void {
    if (!this.#receive) return
    const receive = this.#receive
    const after = JSON.parse(JSON.stringify(this.#position ?? null)) ?? undefined
    let isOpen = true
    const connection = this.#target.subscribe(after, (sent) => {
      const message = JSON.stringify(sent)
      queueMicrotask(() => {
        if (!isOpen) return
        const arrived = JSON.parse(message) as SentEvent
        this.#position = { epoch: arrived.epoch, sequence: arrived.sequence }
        receive(arrived)
      })
    })
    this.#connection = {
      close: () => {
        isOpen = false
        connection.close()
      },
    }
  }

  drop(): void {
    this.#connection?.close()
    this.#connection = undefined
  }
}
