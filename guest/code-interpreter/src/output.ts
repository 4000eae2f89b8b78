import { stripVTControlCharacters } from 'node:util'
import type { KernelMessage } from './kernel/wire.ts'

/** One line of the answer to `/execute` (wire spec, section 10). */
export type OutputLine =
  | { type: 'stdout' | 'stderr'; text: string; timestamp: number }
  | ({ type: 'result'; is_main_result: boolean } & Record<string, unknown>)
  | { type: 'error'; name: string; value: string; traceback: string }
  | { type: 'number_of_executions'; execution_count: number }

/** Largest text that clients get as one string. */
const TEXT_MAX_CHARS = 256 * 1024
const RESULT_MAX_CHARS = 32 * 1024 * 1024

/** Names that the SDKs use for MIME types of a Jupyter result; other types keep their own. */
const RESULT_FIELDS: Record<string, string> = {
  'text/plain': 'text',
  'text/html': 'html',
  'text/markdown': 'markdown',
  'text/latex': 'latex',
  'image/svg+xml': 'svg',
  'image/png': 'png',
  'image/jpeg': 'jpeg',
  'application/pdf': 'pdf',
  'application/json': 'json',
  'application/javascript': 'javascript',
  'application/vnd.sandlot.data+json': 'data',
  'application/vnd.sandlot.chart+json': 'chart',
}

/** @returns the lines for one message of a kernel; none for messages that clients do not get */
export function linesOf({ header, content }: KernelMessage): OutputLine[] {
  switch (header.msg_type) {
    case 'stream':
      return textLines(content.name === 'stderr' ? 'stderr' : 'stdout', String(content.text ?? ''))
    case 'execute_result':
    case 'display_data':
      return [resultLine(content.data, header.msg_type === 'execute_result')]
    case 'error':
      return [errorLine(content)]
    case 'execute_input':
      return typeof content.execution_count === 'number'
        ? [{ type: 'number_of_executions', execution_count: content.execution_count }]
        : []
    default:
      return []
  }
}

/** Splits long text into pieces, never within a character. */
export function textLines(type: 'stdout' | 'stderr', text: string): OutputLine[] {
  const timestamp = Date.now() * 1_000_000
  const lines: OutputLine[] = []
  for (let start = 0; start < text.length; ) {
    let end = Math.min(start + TEXT_MAX_CHARS, text.length)
    const last = text.charCodeAt(end - 1)
    if (end < text.length && last >= 0xd800 && last < 0xdc00) end -= 1
    lines.push({ type, text: text.slice(start, end), timestamp })
    start = end
  }
  return lines
}

export function errorLine(content: Record<string, unknown>): OutputLine {
  const traceback = Array.isArray(content.traceback) ? content.traceback.join('\n') : ''
  return {
    type: 'error',
    name: String(content.ename || 'Error'),
    value: shortened(String(content.evalue ?? '')),
    traceback: stripVTControlCharacters(shortened(traceback)),
  }
}

/** Shortens a text in the middle, as the end of a traceback tells what happened. */
function shortened(text: string): string {
  const left = text.length - TEXT_MAX_CHARS
  if (left <= 0) return text
  const half = TEXT_MAX_CHARS / 2
  return `${text.slice(0, half)}\n… ${left} characters were left out …\n${text.slice(-half)}`
}

function resultLine(data: unknown, isMain: boolean): OutputLine {
  const fields: Record<string, unknown> = {}
  for (const [mime, value] of Object.entries((data ?? {}) as Record<string, unknown>)) {
    fields[RESULT_FIELDS[mime] ?? mime] = value
  }
  if (typeof fields.text === 'string') fields.text = withoutQuotes(fields.text)
  const sizeChars = Object.values(fields).reduce<number>(
    (sum, value) => sum + (typeof value === 'string' ? value.length : (JSON.stringify(value)?.length ?? 0)),
    0,
  )
  if (sizeChars > RESULT_MAX_CHARS) {
    return {
      type: 'stderr',
      text: `A result of ${sizeChars} characters was left out: ${RESULT_MAX_CHARS} are allowed. Write it to a file and download that.\n`,
      timestamp: Date.now() * 1_000_000,
    }
  }
  return { ...fields, type: 'result', is_main_result: isMain }
}

/** Converts the literal of a string to the string itself. */
function withoutQuotes(text: string): string {
  const quote = text[0]
  const isQuoted = text.length >= 2 && (quote === "'" || quote === '"') && text.endsWith(quote)
  return isQuoted ? text.slice(1, -1) : text
}
