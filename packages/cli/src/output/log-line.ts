import { stripVTControlCharacters } from 'node:util'
import type { Format } from '../options/format.ts'
import { coloured } from './colour.ts'

export interface LogLine {
  timestamp: Date
  /** Level in the spelling of the program: `info`. */
  level: string
  logger: string
  /** All other fields of the line. */
  fields: Record<string, unknown>
  raw: string
}

/** Parses a line as the JSON document that the program wrote; any other line is the message itself. */
export function readLogLine({ timestamp, line }: { timestamp: string; line: string }): LogLine {
  const document = asObject(line) ?? { msg: line }
  const { level, logger, timestamp: _, ...fields } = document
  return {
    timestamp: new Date(timestamp),
    level: typeof level === 'string' ? level : 'info',
    logger: typeof logger === 'string' ? logger : '',
    fields,
    raw: line,
  }
}

export function formatLogLine({ timestamp, level, logger, fields }: LogLine, format: Format): string {
  const named = logger ? { logger, ...fields } : fields
  if (format === 'json') return JSON.stringify({ timestamp, level, ...named })
  const time = `[${timestamp.toISOString().replace('T', ' ')}]`
  return `${time} ${colourOf(level)(level.toUpperCase().padEnd(5))} ${formatFields(named)}`
}

/** Formats the message first, and its fields after it. */
function formatFields(fields: Record<string, unknown>): string {
  const { msg, message, ...rest } = fields
  const said = msg ?? message
  const pairs = Object.entries(rest).map(([key, value]) => coloured('dim', `${key}=${asText(value)}`))
  return [...(said === undefined ? [] : [asText(said)]), ...pairs].join(' ')
}

/** Removes escape sequences, as logs contain output of programs in sandboxes. */
const asText = (value: unknown): string =>
  stripVTControlCharacters(typeof value === 'string' ? value : JSON.stringify(value))

function colourOf(level: string): (text: string) => string {
  const style = ({ error: 'red', warn: 'yellow', debug: 'dim' } as const)[level.toLowerCase()]
  return (text) => (style ? coloured(style, text) : text)
}

function asObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}
