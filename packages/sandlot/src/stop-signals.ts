const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Ctrl-C arrives several times at once: from the terminal, which signals the whole process group, and from npm and
 * bootstrap.mjs, which pass signals on. Signals within this time count as one.
 */
const ECHO_MS = 400

/**
 * Calls `stop` on the first signal; a second one ends the process at once.
 * @returns a function that removes the listeners
 */
export function onStopSignal(stop: (signal: NodeJS.Signals) => void): () => void {
  let firstAt: number | undefined
  const listener = (signal: NodeJS.Signals): void => {
    if (firstAt === undefined) {
      firstAt = performance.now()
      stop(signal)
    } else if (performance.now() - firstAt > ECHO_MS) {
      process.exit(1)
    }
  }
  for (const signal of SIGNALS) process.on(signal, listener)
  return () => {
    for (const signal of SIGNALS) process.off(signal, listener)
  }
}
