const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Ctrl-C reaches us several times at once: from the terminal to the whole process group, from npm and from
 * bootstrap.mjs, which pass it on. Within this time it is one.
 */
const ECHO_MS = 400

/**
 * Calls `stop` on the first signal; a second one ends the process at once.
 * @returns a function that takes the listeners away
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
