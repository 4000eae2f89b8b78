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

/** Reasons whose names alone do not say what to do. */
const EXPLANATIONS: Record<string, string> = {
  name_not_found: 'no name server knows the name.',
  private_address:
    'the name leads to a private address, which only the administrator can open (allowedRanges).',
  policy_changed: 'the connection was cut by an update of the rules (closeExisting).',
  tls_rejected_by_client:
    "the program does not trust the sandbox's authority, so rules cannot set headers: it pins certificates or has a list of its own.",
  closed_without_request:
    "the program connected and sent nothing: it may pin the server's certificate, which header rules replace.",
  not_tls: 'the program speaks something else than TLS on port 443, where rules by name need TLS.',
  secret_missing: 'a rule uses a secret that does not exist: `e2b secret list`.',
  secrets_unavailable: 'the server has no key for secrets: ask the administrator.',
  identity_token_missing:
    'a rule uses an identity token that the sandbox was not created with, as in a fork.',
  upstream_certificate_invalid: 'the certificate of the destination is not valid.',
  proxy_unreachable: "the sandbox's egressProxy does not answer.",
  proxy_auth_failed: "the sandbox's egressProxy refuses the username and password.",
  proxy_tls_failed: "TLS to the sandbox's egressProxy failed: check tls.serverName and tls.caCert.",
  proxy_private_address: "the sandbox's egressProxy is at a private address.",
}

/** Says how to allow destinations that were denied, and what reasons of failures mean. @returns undefined for nothing */
export function hintFor(denied: readonly string[], reasons: readonly string[] = []): string | undefined {
  const names = denied.filter((name) => name !== '').map(oneLine)
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : ''
  const lines =
    names.length > 0 ? [`Denied: ${names.slice(0, MAX_NAMED).join(', ')}${more}. ${ALLOWING}`] : []
  for (const reason of reasons)
    if (Object.hasOwn(EXPLANATIONS, reason)) lines.push(`${reason}: ${EXPLANATIONS[reason]}`)
  return lines.length > 0 ? `\n${lines.join('\n')}` : undefined
}

const ALLOWING = "To allow one, add it to allowOut of the sandbox's network (sandbox.updateNetwork)."
