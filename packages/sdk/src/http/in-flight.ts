type Fetch = typeof globalThis.fetch

/**
 * Lets at most `limit` requests wait for the head of their answer at a time. The others wait in line, each no longer
 * than its signal allows. A stream whose answer has begun does not count: it may last for hours.
 */
export function limitInFlight(send: Fetch, limit: number): Fetch {
  let underWay = 0
  const line: (() => void)[] = []

  async function enter(signal: AbortSignal | null | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (underWay < limit) {
      underWay++
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

  /** The place goes to the next in line, or is free. */
  function leave(): void {
    const next = line.shift()
    if (next) next()
    else underWay--
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
