import type { Socket } from 'node:net'
import { SandlotError } from '@sandlot/protocol'
import type { LimitReached } from './connection-limits.ts'

const TLS_HANDSHAKE_RECORD = 0x16
/** Time for the client's first byte, and then for reading the answer. */
const PATIENCE_MS = 1_000
const MAX_AT_A_TIME = 64
const RETRY_AFTER_SECONDS = 5

/** Ends connections beyond the limit; connections of plain HTTP get an answer with the reason. */
export class Turnstile {
  readonly #waiting = new Set<Socket>()

  turnAway(socket: Socket, reached: LimitReached): void {
    socket.on('error', () => socket.destroy())
    if (this.#waiting.size >= MAX_AT_A_TIME) {
      socket.resetAndDestroy()
      return
    }
    this.#waiting.add(socket)
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS)
    socket.once('close', () => {
      clearTimeout(timer)
      this.#waiting.delete(socket)
    })
    socket.once('data', (start) => {
      if (start[0] === TLS_HANDSHAKE_RECORD) socket.resetAndDestroy()
      else socket.end(answerTo(reached))
    })
  }
}

function answerTo({ of, limit }: LimitReached): string {
  const error =
    of === 'server'
      ? new SandlotError('sandbox_capacity_unavailable', `this server already has ${limit} connections`)
      : new SandlotError(
          'quota_exceeded',
          `your address already has ${limit} connections; close some of them`,
        )
  const body = JSON.stringify(error.toBody())
  return [
    `HTTP/1.1 ${error.status} ${of === 'server' ? 'Service Unavailable' : 'Too Many Requests'}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Retry-After: ${RETRY_AFTER_SECONDS}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n')
}
