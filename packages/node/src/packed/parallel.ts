/**
 * Runs `task` for each item, at most `concurrency` at a time. After a failure no further task starts, and the call
 * rejects with the first error when all running tasks have ended.
 */
export async function inParallel<T>(
  items: Iterable<T>,
  concurrency: number,
  task: (item: T) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]()
  let failure: { error: unknown } | undefined
  async function work(): Promise<void> {
    while (!failure) {
      const { done, value } = iterator.next()
      if (done) return
      try {
        await task(value)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: concurrency }, work))
  if (failure) throw failure.error
}
