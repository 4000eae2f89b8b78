import type { Socket } from 'node:net'
import type { Progress } from '../socket-reader.ts'
import type { BodyReader } from './body.ts'

/** What an exchange needs of the connection on which the request came. */
export interface Client {
  readonly socket: Socket
  /** Of the bytes that the client sends. */
  readonly progress: Progress
  /** Gives the next bytes to a body. */
  receive(body: BodyReader): void
  /** Gives all further bytes to a protocol that is not HTTP. */
  receiveRaw(onBytes: (bytes: Buffer) => void, onEnd: () => void): void
  /** Stops or goes on reading. */
  setHeld(isHeld: boolean): void
}
