/** Resolves like `result`, or rejects with the signal's reason if that is aborted first. */
export async function unlessAborted<T>(signal: AbortSignal, result: Promise<T>): Promise<T> {
  let onAbort = () => {}
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([aborted, result])
  } finally {
    signal.removeEventListener('abort', onAbort)
    result.catch(() => {})
  }
}
