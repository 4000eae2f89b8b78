/** A function whose call ends the frames that are ours. */
export type Entrance = ((...args: never[]) => unknown) | (abstract new (...args: never[]) => unknown)

/**
 * The stack frames of whoever called one of our functions, without ours, one a line. Taken from the running stack by
 * the function itself, as file names say nothing once a bundler put us and the caller in one file. Where that function
 * is not on the stack (JavaScriptCore gives its place to the functions it ends with) they are told by their directory.
 *
 * @param entrance the function that was called from outside
 * @returns nothing if nobody outside is to be seen
 */
export function callerTrace(entrance: Entrance): string | undefined {
  const holder = new Error()
  const frames = framesOf(holder.stack)
  const { captureStackTrace } = Error as Partial<ErrorConstructor>
  captureStackTrace?.(holder, entrance)
  const above = captureStackTrace ? framesOf(holder.stack) : []
  return (above.length > 0 ? above : framesOutside(frames)).join('\n') || undefined
}

/** What `stack` of an error shows when the blame lies with the lines of `trace`. */
export function stackFrom(error: { name: string; message: string }, trace: string): string {
  return `${error.name}: ${error.message}\n${trace}`
}

/** Directory of the file whose line comes first in a trace, or nothing if that is no file on disk. */
export function directoryOf(trace: string | undefined): string | undefined {
  const file = fileOf(trace?.split('\n', 1)[0] ?? '')
  const path = file.startsWith('file://')
    ? decodeURIComponent(file.slice(7)).replace(/^\/([A-Za-z]:)/, '$1')
    : file
  if (!/^(\/|[A-Za-z]:[\\/])/.test(path)) return undefined
  return withoutName(path) || '/'
}

/** Lines of a stack that name a place; others are built-in functions. */
function framesOf(stack: string | undefined): string[] {
  return (stack ?? '').split('\n').filter((line) => /^\s+at .*:\d|@.*:\d/.test(line))
}

/** The frames above those of the directory that the first one lies in: ours. */
function framesOutside(frames: string[]): string[] {
  const own = withoutName(fileOf(frames[0] ?? ''))
  const first = frames.findIndex((frame) => withoutName(fileOf(frame)) !== own)
  return first < 0 ? [] : frames.slice(first)
}

/** V8: `at name (place)` or `at place`; others: `name@place`. A place is a path or URL with line and column. */
function fileOf(frame: string): string {
  const place = frame.match(/\((.*)\)$/)?.[1] ?? frame.replace(/^\s*(at (async )?|[^@/]*@)/, '')
  return place.replace(/(:\d+){1,2}$/, '')
}

const withoutName = (file: string): string => file.replace(/[\\/][^\\/]*$/, '')
