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

/**
 * Reads from a paused socket until `read` has a result. Leaves the socket paused.
 * @param read gets all bytes so far; undefined: more are needed
 * @returns undefined when the socket was closed
 */
export function readHead<Result>(
  socket: Socket,
  read: (bytes: Buffer) => Result | undefined,
  { maxBytes, timeoutMs }: HeadLimits,
): Promise<Head<Result> | undefined> {
  return new Promise((resolve) => {
    let bytes: Buffer = Buffer.alloc(0)
    const finish = (head: Head<Result> | undefined) => {
      clearTimeout(timer)
      socket.pause()
      socket.off('data', onData).off('end', onEnd).off('close', onClose)
      resolve(head)
    }
    const onEnd = () => finish({ bytes, result: undefined })
    const onClose = () => finish(undefined)
    const onData = (chunk: Buffer) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
      const result = read(bytes)
      if (result !== undefined || bytes.length >= maxBytes) finish({ bytes, result })
    }
    const timer = setTimeout(() => finish({ bytes, result: undefined }), timeoutMs)
    socket.on('data', onData).once('end', onEnd).once('close', onClose)
    socket.resume()
  })
}
