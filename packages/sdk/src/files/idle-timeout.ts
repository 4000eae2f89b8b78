/**
 * Forwards a stream and fails when the source stalls. The timer runs only during a read, so a slow reader does not
 * count as a stall. Cancelling the stream cancels the source, which frees the connection.
 */
export function withIdleTimeout(
  source: ReadableStream<Uint8Array>,
  idleTimeoutMs: number,
): ReadableStream<Uint8Array> {
  if (!idleTimeoutMs) return source
  const reader = source.getReader()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        let timer: ReturnType<typeof setTimeout> | undefined
        const stalled = new Promise<never>((_, reject) => {
          timer = setTimeout(
            () => reject(new DOMException(`Stream idle for ${idleTimeoutMs}ms`, 'TimeoutError')),
            idleTimeoutMs,
          )
        })
        try {
          const { done, value } = await Promise.race([reader.read(), stalled])
          if (done) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          controller.error(error)
          await reader.cancel(error).catch(() => {})
        } finally {
          clearTimeout(timer)
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    // nothing is read ahead, as the deadline applies only to requested chunks
    { highWaterMark: 0 },
  )
}
