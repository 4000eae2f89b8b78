import type { ConnectionRecord } from '@sandlot/protocol/node'
import type { EgressRecord } from '@sandlot/protocol/rest'
import type { Insertable } from 'kysely'
import type { EgressRecordsTable } from '../store/schema.ts'

export type EgressRow = Insertable<EgressRecordsTable>

/** Most characters of each text: guests choose names, hosts, methods and paths. */
const MAX_LENGTH = { id: 64, name: 255, rule: 300, reason: 64, method: 32, host: 255, path: 512 }

const HAS_CONTROLS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Cuts text, and replaces characters that would act on a terminal or that PostgreSQL cannot hold. */
const text = (value: string, length: number): string =>
  value.slice(0, length).toWellFormed().replace(HAS_CONTROLS, '\uFFFD')

const optional = (value: string | undefined, length: number): string | null =>
  value === undefined ? null : text(value, length)

const count = (value: number): number =>
  Number.isFinite(value) ? Math.min(Math.max(0, Math.round(value)), Number.MAX_SAFE_INTEGER) : 0

export const toRow = (record: ConnectionRecord, recordedAtMs: number): EgressRow => ({
  id: text(record.recordId, MAX_LENGTH.id),
  team_id: record.teamId,
  sandbox_id: record.sandboxId,
  recorded_at: recordedAtMs,
  started_at: count(record.startedAtMs),
  duration_ms: count(record.durationMs),
  protocol: record.protocol,
  name: optional(record.name, MAX_LENGTH.name),
  address: optional(record.address, MAX_LENGTH.id),
  port: record.port ?? null,
  bytes_out: count(record.bytesOut),
  bytes_in: count(record.bytesIn),
  verdict: record.verdict,
  rule: text(record.rule, MAX_LENGTH.rule),
  reason: optional(record.reason, MAX_LENGTH.reason),
  http_method: optional(record.http?.method, MAX_LENGTH.method),
  http_host: optional(record.http?.host, MAX_LENGTH.host),
  http_path: optional(record.http?.path, MAX_LENGTH.path),
  http_status: record.http?.status ?? null,
})

export const fromRow = (row: EgressRecordsTable): EgressRecord => ({
  recordID: row.id,
  startedAt: new Date(row.started_at).toISOString(),
  durationMs: row.duration_ms,
  protocol: row.protocol as EgressRecord['protocol'],
  name: row.name ?? undefined,
  address: row.address ?? undefined,
  port: row.port ?? undefined,
  bytesOut: row.bytes_out,
  bytesIn: row.bytes_in,
  verdict: row.verdict as EgressRecord['verdict'],
  rule: row.rule,
  reason: row.reason ?? undefined,
  http:
    row.http_method === null
      ? undefined
      : {
          method: row.http_method,
          host: row.http_host ?? '',
          path: row.http_path ?? '',
          status: row.http_status ?? undefined,
        },
})
