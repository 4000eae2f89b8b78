/**
 * Passes a body on and ends it with a `TimeoutError` (a `DOMException`, as request timeouts are) when the server sends
 * nothing for a while although the reader waits. Cancelling it, and every end, cancels the request.
 *
 * @param idleTimeoutMs 0 means no limit
 * @param release called once when the body has ended in whatever way
 */
export function streamWithIdleTimeout(
  body: ReadableStream<Uint8Array>,
  idleTimeoutMs: number,
  release: () => void,
): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await within(idleTimeoutMs, reader.read())
          if (!done) return controller.enqueue(value)
          controller.close()
        } catch (error) {
          controller.error(error)
          await reader.cancel(error).catch(() => undefined)
        }
        release()
      },
      async cancel(reason) {
        await reader.cancel(reason)
        release()
      },
    },
    // Nothing is read ahead, so a reader that pauses holds up the server and not our memory.
    { highWaterMark: 0 },
  )
}

async function within<Value>(timeoutMs: number, value: Promise<Value>): Promise<Value> {
  if (!timeoutMs) return value
  let timer: ReturnType<typeof setTimeout> | undefined
  const expired = new Promise<never>((_, reject) => {
    const error = new DOMException(
      `No data for ${timeoutMs} ms: the idle timeout of the stream`,
      'TimeoutError',
    )
    timer = setTimeout(() => reject(error), timeoutMs)
  })
  try {
    return await Promise.race([value, expired])
  } finally {
    clearTimeout(timer)
  }
}
