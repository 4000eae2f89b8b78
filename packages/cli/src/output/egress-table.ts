import { stripVTControlCharacters } from 'node:util'
import { coloured } from './colour.ts'
import { formatBytes } from './size.ts'
import { displayWidth } from './table.ts'

/** A connection as the API lists it. */
export interface EgressRecord {
  startedAt: string
  protocol: string
  name?: string
  address?: string
  port?: number
  bytesOut: number
  bytesIn: number
  verdict: 'allowed' | 'denied' | 'failed'
  rule: string
  reason?: string
  http?: { method: string; host: string; path: string; status?: number }
}

const COLUMNS: ReadonlyArray<{ title: string; least: number; value: (record: EgressRecord) => string }> = [
  { title: 'TIME', least: 8, value: ({ startedAt }) => new Date(startedAt).toLocaleTimeString('en-GB') },
  { title: 'VERDICT', least: 7, value: ({ verdict }) => verdict },
  { title: 'PROTOCOL', least: 8, value: ({ protocol }) => protocol },
  { title: 'DESTINATION', least: 24, value: ({ name = '-' }) => name },
  {
    title: 'ADDRESS',
    least: 20,
    value: ({ address = '-', port }) => (port === undefined ? address : `${address}:${port}`),
  },
  { title: 'SENT', least: 9, value: ({ bytesOut }) => formatBytes(bytesOut) },
  { title: 'RECEIVED', least: 9, value: ({ bytesIn }) => formatBytes(bytesIn) },
  { title: 'RULE', least: 20, value: ({ rule }) => rule },
  { title: 'REASON', least: 0, value: reasonOf },
]
const GAP = '  '
const VERDICT = COLUMNS.findIndex(({ title }) => title === 'VERDICT')
const STYLES = { allowed: 'green', denied: 'red', failed: 'yellow' } as const

function reasonOf({ reason, http }: EgressRecord): string {
  const request = http && `${http.method} ${http.path}${http.status === undefined ? '' : ` → ${http.status}`}`
  return [reason, request].filter(Boolean).join('  ')
}

/** A table of connections that can grow: columns never become narrower, so that later rows stay aligned. */
export class EgressTable {
  #widths: number[] | undefined

  /** Formats the next rows, the first time below the titles. */
  format(records: readonly EgressRecord[]): string {
    const rows = records.map((record) => COLUMNS.map(({ value }) => oneLine(value(record))))
    const isFirst = this.#widths === undefined
    const before = this.#widths ?? COLUMNS.map(({ title, least }) => Math.max(title.length, least))
    const widths = before.map((width, at) => Math.max(width, ...rows.map((row) => displayWidth(row[at]!))))
    this.#widths = widths
    const padded = (cell: string, at: number) => cell + ' '.repeat(widths[at]! - displayWidth(cell))
    const lines = rows.map((row, index) =>
      row
        .map((cell, at) =>
          at === VERDICT ? coloured(STYLES[records[index]!.verdict], padded(cell, at)) : padded(cell, at),
        )
        .join(GAP)
        .trimEnd(),
    )
    const titles = coloured(
      'bold',
      COLUMNS.map(({ title }, at) => padded(title, at))
        .join(GAP)
        .trimEnd(),
    )
    return (isFirst ? [titles, ...lines] : lines).join('\n')
  }
}

/** Removes what acts on a terminal: programs in the sandbox choose names and paths. */
const oneLine = (text: string): string => stripVTControlCharacters(text).replace(/[\p{Cc}\p{Cf}]+/gu, ' ')

const MAX_NAMED = 8

/** Says how to allow destinations that were denied. @returns undefined when there are none */
export function hintFor(denied: readonly string[]): string | undefined {
  const names = denied.filter((name) => name !== '').map(oneLine)
  if (names.length === 0) return undefined
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : ''
  return `\nDenied: ${names.slice(0, MAX_NAMED).join(', ')}${more}. To allow one, add it to allowOut of the sandbox's network (sandbox.updateNetwork).`
}
