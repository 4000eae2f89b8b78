import type { Socket } from 'node:net'

export interface Head<Result> {
  /** All bytes that were read; the caller must pass them on. */
  bytes: Buffer
  /** What `read` made of them; undefined when the time or the bytes were used up, or the client ended before. */
  result: Result | undefined
}

export interface HeadLimits {
  maxBytes: number
  timeoutMs: number
}

/** What bytes are, or how many are needed in all before it is worth to look again. */
export type HeadReading<Result> = { result: Result } | { neededBytes: number }

/**
 * Reads from a paused socket until `read` has a result. Leaves the socket paused.
 * @param read gets all bytes so far, at least one
 * @returns undefined when the socket was closed
 */
export function readHead<Result>(
  socket: Socket,
  read: (bytes: Buffer) => HeadReading<Result>,
  { maxBytes, timeoutMs }: HeadLimits,
): Promise<Head<Result> | undefined> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let received = 0
    let needed = 1
    const finish = (head: Head<Result> | undefined) => {
      clearTimeout(timer)
      socket.pause()
      socket.off('data', onData).off('end', onEnd).off('close', onClose)
      resolve(head)
    }
    const finishWith = (result: Result | undefined) => finish({ bytes: Buffer.concat(chunks), result })
    const onEnd = () => finishWith(undefined)
    const onClose = () => finish(undefined)
    const onData = (chunk: Buffer) => {
      chunks.push(chunk)
      received += chunk.length
      if (received >= needed) {
        const bytes = Buffer.concat(chunks)
        chunks.splice(0, chunks.length, bytes)
        const reading = read(bytes)
        if ('result' in reading) return finishWith(reading.result)
        needed = reading.neededBytes
      }
      if (received >= maxBytes) finishWith(undefined)
    }
    const timer = setTimeout(() => finishWith(undefined), timeoutMs)
    socket.on('data', onData).once('end', onEnd).once('close', onClose)
    socket.resume()
  })
}
