type Fetch = typeof globalThis.fetch

/**
 * Limits the requests that wait for the head of their answer to `limit` at a time. Further requests are queued, each no
 * longer than its signal allows. A stream whose answer has begun does not count, as a stream may last for hours.
 */
export function limitInFlight(send: Fetch, limit: number): Fetch {
  let inFlight = 0
  const line: (() => void)[] = []

  async function enter(signal: AbortSignal | null | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (inFlight < limit) {
      inFlight++
      return
    }
    await new Promise<void>((resolve, reject) => {
      const leaveLine = () => {
        line.splice(line.indexOf(admit), 1)
        reject(signal!.reason)
      }
      const admit = () => {
        signal?.removeEventListener('abort', leaveLine)
        resolve()
      }
      signal?.addEventListener('abort', leaveLine, { once: true })
      line.push(admit)
    })
  }

  /** Passes the place to the next queued request, or frees it. */
  function leave(): void {
    const next = line.shift()
    if (next) next()
    else inFlight--
  }

  return async (input, init) => {
    await enter(init?.signal ?? (input instanceof Request ? input.signal : undefined))
    try {
      return await send(input, init)
    } finally {
      leave()
    }
  }
}
