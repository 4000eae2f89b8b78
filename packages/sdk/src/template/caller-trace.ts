/** A function whose call ends the frames that are ours. */
export type Entrance = ((...args: never[]) => unknown) | (abstract new (...args: never[]) => unknown)

/**
 * The stack frames of whoever called one of our functions, without ours, one a line. Taken from the running
 * stack by the function itself, as file names say nothing once a bundler put us and the caller in one file.
 *
 * @param entrance the function that was called from outside
 * @returns nothing where the engine cannot tell (no `Error.captureStackTrace`)
 */
export function callerTrace(entrance: Entrance): string | undefined {
  if (!Error.captureStackTrace) return undefined
  const holder = new Error()
  Error.captureStackTrace(holder, entrance)
  return framesOf(holder.stack ?? '')
}

/** What `stack` of an error shows when the blame lies with the lines of `trace`. */
export function stackFrom(error: { name: string; message: string }, trace: string): string {
  return `${error.name}: ${error.message}\n${trace}`
}

/** Directory of the file whose line comes first in a trace, or nothing if that is no file on disk. */
export function directoryOf(trace: string | undefined): string | undefined {
  const [frame = ''] = trace?.split('\n', 1) ?? []
  // V8: `at name (place)` or `at place`; others: `name@place`
  const place = frame.match(/\((.*)\)$/)?.[1] ?? frame.replace(/^\s*(at (async )?|[^@/]*@)/, '')
  const file = place.replace(/(:\d+){1,2}$/, '')
  const path = file.startsWith('file://')
    ? decodeURIComponent(file.slice(7)).replace(/^\/([A-Za-z]:)/, '$1')
    : file
  if (!/^(\/|[A-Za-z]:[\\/])/.test(path)) return undefined
  return path.replace(/[\\/][^\\/]*$/, '') || '/'
}

function framesOf(stack: string): string | undefined {
  const frames = stack.split('\n').filter((line) => /^\s+at |@/.test(line))
  return frames.length > 0 ? frames.join('\n') : undefined
}
