/** Part of a log that is read, from its end: a failed save adds 12 KB. */
const TAIL_CHARACTERS = 64 * 1024
/** Longest part of a log that fits into an error. */
const MAX_CHARACTERS = 1_500
/** Where a Go panic's trace begins, which says nothing to users and would hide the sentence before it. */
const GO_TRACE = /:?\s*\ngoroutine \d+ \[/
/** Message of an error that ended runsc. Objects of several runs follow each other without a line break. */
const FATAL_MESSAGE = /"msg":("(?:[^"\\]|\\.)*")/g

/**
 * Returns what runsc's log says about the last failure, without traces of Go: the message of the error that ended runsc,
 * else the last three lines that are warnings or errors.
 */
export function lastError(log: string): string {
  const tail = log.slice(-TAIL_CHARACTERS)
  const fatal = [...tail.matchAll(FATAL_MESSAGE)].at(-1)?.[1]
  const said = fatal === undefined ? lastLines(tail) : (JSON.parse(fatal) as string)
  return said.split(GO_TRACE, 1)[0]!.slice(-MAX_CHARACTERS) || 'runsc logged no error'
}

function lastLines(log: string): string {
  const lines = log
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('I') && !line.startsWith('D'))
  return lines.slice(-3).join(' | ')
}
