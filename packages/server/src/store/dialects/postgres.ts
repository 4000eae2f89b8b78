import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from 'kysely'
import pg from 'pg'
import { isConnectionLoss, postgresError } from '../postgres-errors.ts'

const MAX_CONNECTIONS = 10
/** Also how long a statement waits for a free connection of the pool. */
const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 30_000
/** Ends statements of servers that disappeared without closing their connection; later than the server's own limit. */
const ANSWER_TIMEOUT_MS = STATEMENT_TIMEOUT_MS + 5_000
const IDLE_TRANSACTION_TIMEOUT_MS = 30_000
const IDLE_CONNECTION_MS = 60_000
/** How long to ask for the outcome of a commit whose answer was lost. PostgreSQL recovers from a crash within seconds. */
const OUTCOME_TIMEOUT_MS = 8_000
const OUTCOME_INTERVAL_MS = 200

const INT8 = 20
const NUMERIC = 1700

/** Decides which statements may reach the database; the lease closes it while another server may be the active one. */
export interface Gate {
  /** Whether statements may be sent now. */
  isOpen(): boolean
  /** Waits a moment for `isOpen`. @throws SandlotError store_unavailable */
  opened(): Promise<void>
  /** Called with every new connection before its first statement; rejects when this server must not write any more. */
  admit(client: pg.ClientBase): Promise<void>
}

export interface PostgresDialect extends Dialect {
  /** Absent until the server that uses this store holds the lease: commands need none. */
  gate?: Gate
}

export interface PostgresDialectOptions {
  /** Shown in `pg_stat_activity`; a server that takes over ends the connections of this name. */
  applicationName: string
  maxConnections?: number
}

/** Options of one connection, shared by the pool and by connections beside it. */
export const clientConfig = (url: string, applicationName: string): pg.ClientConfig => ({
  connectionString: url,
  application_name: applicationName,
  connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  statement_timeout: STATEMENT_TIMEOUT_MS,
  query_timeout: ANSWER_TIMEOUT_MS,
  idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
  keepAlive: true,
  types: { getTypeParser: ((oid: number, format: 'text') => typeParser(oid, format)) as never },
})

/** Kysely over `pg`: a bounded pool, transactions whose outcome is known even when the connection breaks at the commit. */
export function postgresDialect(url: string, options: PostgresDialectOptions): PostgresDialect {
  const dialect: PostgresDialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new PostgresDriver(url, options, dialect),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  }
  return dialect
}

class PostgresDriver implements Driver {
  readonly #pool: pg.Pool
  readonly #dialect: PostgresDialect
  readonly #connections = new WeakMap<pg.PoolClient, PostgresConnection>()
  #isClosing = false

  constructor(
    url: string,
    { applicationName, maxConnections }: PostgresDialectOptions,
    dialect: PostgresDialect,
  ) {
    this.#dialect = dialect
    this.#pool = new pg.Pool({
      ...clientConfig(url, applicationName),
      max: maxConnections ?? MAX_CONNECTIONS,
      idleTimeoutMillis: IDLE_CONNECTION_MS,
      onConnect: (client: pg.ClientBase) => dialect.gate?.admit(client),
    } as pg.PoolConfig)
    // an idle connection that breaks leaves the pool; the next statement opens another
    this.#pool.on('error', () => {})
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    await this.#passGate()
    const client = await this.#pool.connect().catch((error) => {
      throw postgresError(error, { wasSent: false })
    })
    let connection = this.#connections.get(client)
    if (!connection) {
      connection = new PostgresConnection(client)
      this.#connections.set(client, connection)
      // without a listener a connection that breaks between two statements would end the process
      client.on('error', () => {})
    }
    return connection
  }

  async #passGate(): Promise<void> {
    const { gate } = this.#dialect
    if (gate && !gate.isOpen()) await gate.opened()
  }

  async releaseConnection(connection: PostgresConnection): Promise<void> {
    connection.client.release(connection.isBroken)
  }

  /** `begin` and the transaction's id in one round trip; the id lets `commitTransaction` ask for the outcome. */
  async beginTransaction(
    connection: PostgresConnection,
    { isolationLevel = 'read committed' }: TransactionSettings,
  ): Promise<void> {
    connection.isInTransaction = true
    connection.transactionId = await connection.begin(isolationLevel)
  }

  async commitTransaction(connection: PostgresConnection): Promise<void> {
    const { transactionId } = connection
    connection.isInTransaction = false
    try {
      await this.#passGate()
      await connection.client.query('commit')
    } catch (error) {
      if (!isConnectionLoss(error)) throw postgresError(error, { wasSent: false })
      connection.isBroken = true
      const isCommitted = transactionId === undefined ? undefined : await this.#outcomeOf(transactionId)
      if (isCommitted) return
      throw postgresError(error, { wasSent: isCommitted === undefined })
    }
  }

  async rollbackTransaction(connection: PostgresConnection): Promise<void> {
    connection.isInTransaction = false
    if (connection.isBroken) return
    // the server rolls back by itself when the connection is gone
    await connection.client.query('rollback').catch(() => {
      connection.isBroken = true
    })
  }

  /** @returns undefined: the database did not come back in time, or no longer knows */
  async #outcomeOf(transactionId: string): Promise<boolean | undefined> {
    const deadline = Date.now() + OUTCOME_TIMEOUT_MS
    while (Date.now() < deadline && !this.#isClosing) {
      const status = await this.#pool
        .query<{ status: string | null }>('select pg_xact_status($1::text::xid8) as status', [transactionId])
        .then(
          ({ rows }) => rows[0]?.status ?? 'unknown',
          () => 'unreachable',
        )
      if (status === 'committed') return true
      if (status === 'aborted') return false
      if (status === 'unknown') return undefined
      await sleep(OUTCOME_INTERVAL_MS)
    }
    return undefined
  }

  async destroy(): Promise<void> {
    this.#isClosing = true
    await this.#pool.end()
  }
}

class PostgresConnection implements DatabaseConnection {
  readonly client: pg.PoolClient
  isInTransaction = false
  /** Must not go back to the pool. */
  isBroken = false
  transactionId: string | undefined

  constructor(client: pg.PoolClient) {
    this.client = client
  }

  async begin(isolationLevel: string): Promise<string> {
    const results = await this.#send(() =>
      this.client.query(`begin isolation level ${isolationLevel}; select pg_current_xact_id()::text as id`),
    )
    return (results as unknown as Array<pg.QueryResult<{ id: string }>>)[1]!.rows[0]!.id
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, rowCount } = await this.#send(() => this.client.query(sql, parameters.map(storable)), sql)
    return { rows: rows as R[], numAffectedRows: BigInt(rowCount ?? 0) }
  }

  // biome-ignore lint/correctness/useYield: nothing here reads more rows than fit into memory
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('rows are not streamed from PostgreSQL')
  }

  async #send<T>(query: () => Promise<T>, sql = ''): Promise<T> {
    try {
      return await query()
    } catch (error) {
      if (isConnectionLoss(error)) this.isBroken = true
      // what was sent inside of a transaction is undone with it
      const isWrite = !/^\s*(select|with)\b/i.test(sql)
      throw postgresError(error, { wasSent: isWrite && !this.isInTransaction })
    }
  }
}

/** PostgreSQL's text holds no NUL, which SQLite's does: names and logs may have one. */
const storable = (value: unknown): unknown =>
  typeof value === 'string' && value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value

/** Sums and counts come as text, because they may be larger than a number can be exactly; ours never are. */
function typeParser(oid: number, format: 'text'): (value: string) => unknown {
  if (oid !== INT8 && oid !== NUMERIC) return pg.types.getTypeParser(oid, format)
  return (text) => {
    const value = Number(text)
    if (oid === INT8 && !Number.isSafeInteger(value))
      throw new SandlotError('internal_server_error', `the database holds ${text}, which is too large`)
    return value
  }
}
