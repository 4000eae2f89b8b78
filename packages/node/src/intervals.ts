/** Runs tasks periodically; a task never overlaps with itself. */
export class Intervals {
  readonly #timers: NodeJS.Timeout[] = []
  readonly #onError: (error: unknown) => void

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  every(intervalMs: number, task: () => void | Promise<void>): void {
    let isRunning = false
    this.#timers.push(
      setInterval(async () => {
        if (isRunning) return
        isRunning = true
        try {
          await task()
        } catch (error) {
          this.#onError(error)
        } finally {
          isRunning = false
        }
      }, intervalMs),
    )
  }

  close(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }
}
