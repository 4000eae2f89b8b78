/** Public function of the SDK: frames below its call on the stack are the SDK's, those above are the caller's. */
export type Entrance = ((...args: never[]) => unknown) | (abstract new (...args: never[]) => unknown)

/**
 * Returns the stack frames of the code that called a public function of the SDK, without the SDK's own frames, one per
 * line. The frames are cut at that function and not by file name, because a bundler may have put the SDK and the caller
 * into one file. Where the function is not on the stack (JavaScriptCore drops functions that end with a tail call), the
 * SDK's frames are recognised by their directory.
 *
 * @param entrance the function that was called from outside
 * @returns undefined if the stack shows no caller
 */
export function callerTrace(entrance: Entrance): string | undefined {
  const holder = new Error()
  const frames = framesOf(holder.stack)
  const { captureStackTrace } = Error as Partial<ErrorConstructor>
  captureStackTrace?.(holder, entrance)
  const above = captureStackTrace ? framesOf(holder.stack) : []
  return (above.length > 0 ? above : framesOutside(frames)).join('\n') || undefined
}

/** Text for `stack` of an error that is to show the lines of `trace` instead of the SDK's frames. */
export function stackFrom(error: { name: string; message: string }, trace: string): string {
  return `${error.name}: ${error.message}\n${trace}`
}

/** Directory of the file in the first line of a trace; undefined if that is not a file on disk. */
export function directoryOf(trace: string | undefined): string | undefined {
  const file = fileOf(trace?.split('\n', 1)[0] ?? '')
  const path = file.startsWith('file://')
    ? decodeURIComponent(file.slice(7)).replace(/^\/([A-Za-z]:)/, '$1')
    : file
  if (!/^(\/|[A-Za-z]:[\\/])/.test(path)) return undefined
  return withoutName(path) || '/'
}

/** Selects the lines of a stack that name a place in a file; other lines are built-in functions. */
function framesOf(stack: string | undefined): string[] {
  return (stack ?? '').split('\n').filter((line) => /^\s+at .*:\d|@.*:\d/.test(line))
}

/** Drops the frames of the SDK: those at the top whose file is in the same directory as the first frame's. */
function framesOutside(frames: string[]): string[] {
  const own = withoutName(fileOf(frames[0] ?? ''))
  const first = frames.findIndex((frame) => withoutName(fileOf(frame)) !== own)
  return first < 0 ? [] : frames.slice(first)
}

/**
 * Returns the file of a frame. V8: `at name (place)` or `at place`; others: `name@place`. A place is a path or URL
 * with line and column.
 */
function fileOf(frame: string): string {
  const place = frame.match(/\((.*)\)$/)?.[1] ?? frame.replace(/^\s*(at (async )?|[^@/]*@)/, '')
  return place.replace(/(:\d+){1,2}$/, '')
}

const withoutName = (file: string): string => file.replace(/[\\/][^\\/]*$/, '')
