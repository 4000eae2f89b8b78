import type { Origin } from '../http/origin.ts'
import type { Admission, Admitted } from '../http/requests.ts'
import type { RelayedRequest } from './request.ts'
import type { Streams } from './streams.ts'

export type Refused = Extract<Admission, { refusal: unknown }>

/** What both sides of a relay share. */
export interface RelayHub {
  readonly streams: Streams
  readonly isOver: boolean
  /** Largest stream that the client has opened. */
  lastStream: number
  /** Largest stream that is served; smaller than the largest number there is when an end of the connection was announced. */
  lastServed: number
  /** Sends a frame of the proxy itself. */
  toClient(frame: Buffer): void
  toServer(frame: Buffer): void
  admit(request: RelayedRequest): Promise<Admission>
  /** Whether the connection to the server is the one that a request must take. */
  leadsTo(origin: Origin): boolean
  /** Answers in place of the server. */
  refuse(id: number, request: RelayedRequest, refused: Refused, startedAtMs: number): void
  /** Records a request whose client went before it was sent on. */
  abandon(request: RelayedRequest, admitted: Admitted, startedAtMs: number): void
  /** Goes on with the client's frames after `reader.pause()`. */
  resumeClient(): void
  /** Settings were sent to a side, which has to acknowledge them. */
  awaitAcknowledgement(from: 'client' | 'server'): void
  /** @throws ConnectionError nothing was to acknowledge */
  acknowledge(by: 'client' | 'server'): void
  /** Takes no new streams, and ends the connection when the open ones have ended. */
  drain(): void
  /** A frame has carried a part of a message. */
  onMessage(): void
  onServerSettings(): void
  /** The server has encoded headers, and so has told the client about a change of its table. */
  onServerHeaders(): void
  /** Ends the connection because of an error while the client's frames were handled. */
  fail(error: unknown): void
}
