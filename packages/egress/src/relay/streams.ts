import { pairsOf } from '../http/headers.ts'
import type { Admitted, RequestScope, Requests } from '../http/requests.ts'
import type { RelayedRequest } from './request.ts'

/** A request that was sent on, until both sides have ended it. */
export interface RelayStream {
  id: number
  request: RelayedRequest
  admitted: Admitted
  startedAtMs: number
  /** By `performance.now()`. */
  lastActiveMs: number
  bytesOut: number
  bytesIn: number
  /** Of the answer, once it has begun. */
  status?: number
  interimAnswers: number
  isRequestEnded: boolean
  isAnswerEnded: boolean
  release: () => void
}

/** How a stream ended; absent: in order. */
export interface StreamFailure {
  reason: string
  /** Of an answer of the proxy itself. */
  status?: number
}

/** The open streams of a connection. Records each when it ends. */
export class Streams {
  readonly #requests: Requests
  readonly #scope: RequestScope
  readonly #open = new Map<number, RelayStream>()

  constructor(requests: Requests, scope: RequestScope) {
    this.#requests = requests
    this.#scope = scope
  }

  get size(): number {
    return this.#open.size
  }

  get(id: number): RelayStream | undefined {
    return this.#open.get(id)
  }

  open(id: number, request: RelayedRequest, admitted: Admitted, startedAtMs: number): void {
    this.#open.set(id, {
      // without their headers, which may be large and secret; trailers are compared with the names
      request: { ...request, headers: [] },
      admitted: { ...admitted, replaced: pairsOf(admitted.replaced).flatMap(([name]) => [name, '']) },
      ...{ id, startedAtMs, lastActiveMs: performance.now() },
      ...{ bytesOut: 0, bytesIn: 0, interimAnswers: 0 },
      isRequestEnded: !request.hasBody,
      isAnswerEnded: false,
      release: this.#requests.take(this.#scope.connection.owner.sandboxId),
    })
  }

  /** Ends a stream when both sides have. */
  endIfComplete(stream: RelayStream): void {
    if (stream.isRequestEnded && stream.isAnswerEnded) this.end(stream)
  }

  /** @param failure ignored when the answer was complete */
  end(stream: RelayStream, failure?: StreamFailure): void {
    if (!this.#open.delete(stream.id)) return
    stream.release()
    const { request, admitted, startedAtMs, bytesIn, bytesOut } = stream
    const isFailed = failure !== undefined && !stream.isAnswerEnded
    const status = stream.status ?? failure?.status
    this.#requests.record(this.#scope, request, startedAtMs, admitted, {
      ...{ bytesIn, bytesOut, verdict: isFailed ? 'failed' : 'allowed' },
      ...(isFailed && { reason: failure.reason }),
      ...(status !== undefined && { status }),
    })
  }

  endAll(failure: StreamFailure): void {
    for (const stream of this.#open.values()) this.end(stream, failure)
  }

  all(): RelayStream[] {
    return [...this.#open.values()]
  }
}
