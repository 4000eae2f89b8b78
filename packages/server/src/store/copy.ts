import { SandlotError } from '@sandlot/protocol'
import { type Kysely, sql } from 'kysely'
import { SCHEMA_VERSION, schemaVersionOf } from './migrations.ts'
import { kindOf, type Store } from './open-store.ts'
import { storableInPostgres } from './postgres-text.ts'
import type { Schema } from './schema.ts'
import { liftTransactionTimeout } from './transactions.ts'

const ROWS_PER_BATCH = 500

type Row = Record<string, string | number | null>

/** The lease belongs to a running server, and is not copied. */
type CopiedTable = Exclude<keyof Schema, 'control_plane_lease'>

/** Keys of every table, each table after those that it refers to. */
const KEYS: Record<CopiedTable, string[]> = {
  plans: ['name'],
  teams: ['id'],
  server_secrets: ['name'],
  login_links: ['hash'],
  sessions: ['id'],
  session_tokens: ['hash'],
  api_keys: ['id'],
  templates: ['id'],
  builds: ['id'],
  build_logs: ['build_id', 'sequence'],
  template_tags: ['template_id', 'tag'],
  tag_assignments: ['id'],
  uploads: ['team_id', 'hash'],
  upload_uses: ['team_id', 'hash', 'template_id'],
  checkpoints: ['id'],
  sandboxes: ['id'],
  sandbox_metrics: ['sandbox_id', 'timestamp'],
  events: ['sequence'],
  idempotency_keys: ['team_id', 'key_hash'],
  secrets: ['id'],
  identity_keys: ['sequence'],
  egress_records: ['sequence'],
  volumes: ['id'],
}
const TABLES = Object.entries(KEYS).map(([name, key]) => ({ name: name as CopiedTable, key }))

/** Tables whose rows PostgreSQL numbers. */
const NUMBERED = ['events', 'egress_records'] as const

export interface CopyOptions {
  /** Home of the machines and checkpoints in the rows; empty when the target is a SQLite database. */
  nodeId: string
  /** Called after each batch and each table. */
  onProgress?: (progress: CopyProgress) => void
}

export interface CopyProgress {
  table: string
  /** Number of rows of the table that were copied, or compared, so far. */
  rows: number
  phase: 'copying' | 'comparing'
}

interface Job extends Pick<CopyOptions, 'onProgress'> {
  edit(row: Row): Row
}

export interface CopySummary {
  tables: Array<{ table: string; rows: number }>
}

/**
 * Copies an instance into an empty database, in one transaction there, and compares every row before that transaction
 * ends, so that the target holds everything or nothing. No other program may write to either database meanwhile.
 * @throws SandlotError conflict: other versions, a target that is not empty, rows of several homes, rows that differ
 */
export async function copyStore(from: Store, to: Store, options: CopyOptions): Promise<CopySummary> {
  await checkSource(from)
  await checkTarget(to)
  const tables: CopySummary['tables'] = []
  const job = { edit: rowEdit(to, options.nodeId), onProgress: options.onProgress }
  await to.transaction().execute(async (target) => {
    if (kindOf(to) === 'postgres') await liftTransactionTimeout(target)
    // the row that was created with the tables
    await target.deleteFrom('plans').execute()
    for (const table of TABLES)
      tables.push({ table: table.name, rows: await copyTable(from, target, table, job) })
    if (kindOf(to) === 'postgres')
      for (const name of NUMBERED)
        await sql`select setval(pg_get_serial_sequence(${name}, 'sequence'), greatest(max(sequence), 1),
          max(sequence) is not null) from ${sql.table(name)}`.execute(target)
    for (const table of TABLES) await compareTable(from, target, table, job)
  })
  return { tables }
}

async function checkSource(store: Store): Promise<void> {
  const version = await schemaVersionOf(store, kindOf(store))
  if (version === 0) throw new SandlotError('conflict', 'the source is not a database of Sandlot')
  if (version !== SCHEMA_VERSION) {
    const remedy =
      version < SCHEMA_VERSION
        ? 'start this version once on it'
        : 'copy it with the newer Sandlot that made them'
    throw new SandlotError(
      'conflict',
      `the source has tables of version ${version}, this Sandlot copies version ${SCHEMA_VERSION}: ${remedy}`,
    )
  }
  const { rows } = await sql<{ node_id: string }>`select node_id from sandboxes where state <> 'killed'
    union select node_id from checkpoints`.execute(store)
  if (rows.length > 1)
    throw new SandlotError(
      'conflict',
      `the source has sandboxes of several homes (${rows.map(({ node_id }) => node_id).join(', ')}), and the target could not tell them apart`,
    )
}

async function checkTarget(store: Store): Promise<void> {
  for (const { name } of TABLES) {
    const table = sql.table(name)
    const { rows } =
      name === 'plans'
        ? await sql`select 1 from plans where name <> 'unlimited' limit 1`.execute(store)
        : await sql`select 1 from ${table} limit 1`.execute(store)
    if (rows.length > 0)
      throw new SandlotError('conflict', `the target is not empty: its table ${name} has rows already`)
  }
}

/** Reads rows in the order of their keys, which both databases sort by bytes. */
async function* batches(
  store: Kysely<Schema>,
  { name, key }: (typeof TABLES)[number],
): AsyncGenerator<Row[]> {
  const columns = sql.join(key.map((column) => sql.ref(column)))
  let last: Row | undefined
  for (;;) {
    const behind = last ? sql`where (${columns}) > (${sql.join(key.map((column) => last![column]))})` : sql``
    const { rows } =
      await sql<Row>`select * from ${sql.table(name)} ${behind} order by ${columns} limit ${sql.lit(ROWS_PER_BATCH)}`.execute(
        store,
      )
    if (rows.length > 0) yield rows
    if (rows.length < ROWS_PER_BATCH) return
    last = rows.at(-1)
  }
}

async function copyTable(
  from: Store,
  target: Store,
  table: (typeof TABLES)[number],
  { edit, onProgress }: Job,
): Promise<number> {
  let count = 0
  for await (const batch of batches(from, table)) {
    await target
      .insertInto(table.name)
      .values(batch.map((row) => edit(row)) as never)
      .execute()
    count += batch.length
    onProgress?.({ table: table.name, rows: count, phase: 'copying' })
  }
  return count
}

async function compareTable(
  from: Store,
  target: Store,
  table: (typeof TABLES)[number],
  { edit, onProgress }: Job,
): Promise<void> {
  const copied = batches(target, table)
  let count = 0
  for await (const batch of batches(from, table)) {
    const { value: others = [] } = (await copied.next()) as { value?: Row[] }
    for (const [index, row] of batch.entries())
      if (!isEqual(edit(row), others[index])) throw differing(table, row)
    if (others.length !== batch.length) throw differing(table, others[batch.length]!)
    count += batch.length
    onProgress?.({ table: table.name, rows: count, phase: 'comparing' })
  }
  if (!(await copied.next()).done)
    throw new SandlotError('conflict', `the target has more rows in ${table.name} than the source`)
}

/** Turns a row of the source into what the target has for it. */
function rowEdit(to: Store, nodeId: string): (row: Row) => Row {
  const onNode = (row: Row): Row => ('node_id' in row ? { ...row, node_id: nodeId } : row)
  if (kindOf(to) === 'sqlite') return onNode
  return (row) =>
    Object.fromEntries(
      Object.entries(onNode(row)).map(([column, value]) => [column, storableInPostgres(value)]),
    )
}

/** Compares by name, because the order of columns differs: they are listed in the order in which they were added. */
const isEqual = (row: Row, other: Row | undefined): boolean =>
  other !== undefined &&
  Object.keys(row).length === Object.keys(other).length &&
  Object.entries(row).every(([column, value]) => other[column] === value)

const differing = ({ name, key }: (typeof TABLES)[number], row: Row): SandlotError =>
  new SandlotError(
    'conflict',
    `a row of ${name} differs after the copy (${key.map((column) => `${column} ${row[column]}`).join(', ')}); nothing was kept`,
  )
