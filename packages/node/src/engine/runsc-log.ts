/** Longest part of a log that fits into an error. */
const MAX_CHARACTERS = 1_500
/** Where a Go panic's trace begins, which says nothing to users and would hide the sentence before it. */
const GO_TRACE = /:?\s*\ngoroutine \d+ \[/

/**
 * Returns what runsc's log says last about a failure: up to three of its lines, without traces of Go.
 * @param log lines of glog, and JSON objects with `msg`
 */
export function lastError(log: string): string {
  const lines = log
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('I') && !line.startsWith('D'))
    .map((line) => messageOf(line).split(GO_TRACE, 1)[0]!)
  return lines.slice(-3).join(' | ').slice(-MAX_CHARACTERS) || 'runsc logged no error'
}

function messageOf(line: string): string {
  if (!line.startsWith('{')) return line
  try {
    return String(JSON.parse(line).msg)
  } catch {
    return line
  }
}
