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
import { CommitOutcomes } from './commit-outcomes.ts'
import { type ClientOptions, clientClass, clientConfig } from './postgres-client.ts'

const MAX_CONNECTIONS = 10
const IDLE_CONNECTION_MS = 60_000
/** Of the connection that asks for the outcome of commits, which has few seconds for it. */
const OUTCOME_ANSWER_TIMEOUT_MS = 3_000

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

export interface PostgresDialectOptions extends ClientOptions {
  maxConnections?: number
}

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
  readonly #outcomes: CommitOutcomes
  readonly #dialect: PostgresDialect
  readonly #connections = new WeakMap<pg.PoolClient, PostgresConnection>()

  constructor(url: string, { maxConnections, ...options }: PostgresDialectOptions, dialect: PostgresDialect) {
    this.#dialect = dialect
    this.#pool = new pg.Pool({
      ...clientConfig(url, options),
      Client: clientClass(url, options),
      max: maxConnections ?? MAX_CONNECTIONS,
      idleTimeoutMillis: IDLE_CONNECTION_MS,
      onConnect: (client: pg.ClientBase) => dialect.gate?.admit(client),
    } as pg.PoolConfig)
    // an idle connection that breaks leaves the pool; the next statement opens another
    this.#pool.on('error', () => {})
    const Asking = clientClass(url, {
      applicationName: `${options.applicationName} outcome`,
      statementTimeoutMs: OUTCOME_ANSWER_TIMEOUT_MS,
    })
    this.#outcomes = new CommitOutcomes(() => new Asking())
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
    connection.failure = undefined
    connection.transactionId = await connection.begin(isolationLevel)
  }

  async commitTransaction(connection: PostgresConnection): Promise<void> {
    const { transactionId } = connection
    connection.isInTransaction = false
    let answer: pg.QueryResult
    try {
      await this.#passGate()
      answer = await connection.client.query('commit')
    } catch (error) {
      if (!isConnectionLoss(error)) throw postgresError(error, { wasSent: false })
      connection.isBroken = true
      const isCommitted =
        transactionId === undefined ? undefined : await this.#outcomes.isCommitted(transactionId)
      if (isCommitted) return
      throw postgresError(error, { wasSent: isCommitted === undefined })
    }
    // PostgreSQL does not call it an error when a statement had failed and its caller went on
    if (answer.command !== 'COMMIT')
      throw connection.failure ?? new Error('PostgreSQL rolled a transaction back instead of committing it')
  }

  async rollbackTransaction(connection: PostgresConnection): Promise<void> {
    connection.isInTransaction = false
    if (connection.isBroken) return
    // the server rolls back by itself when the connection is gone
    await connection.client.query('rollback').catch(() => {
      connection.isBroken = true
    })
  }

  async destroy(): Promise<void> {
    this.#outcomes.close()
    await this.#pool.end()
  }
}

class PostgresConnection implements DatabaseConnection {
  readonly client: pg.PoolClient
  isInTransaction = false
  /** Must not go back to the pool. */
  isBroken = false
  transactionId: string | undefined
  /** The first error of the transaction, after which PostgreSQL can only roll it back. */
  failure: unknown

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
      const thrown = postgresError(error, { wasSent: isWrite && !this.isInTransaction })
      if (this.isInTransaction) this.failure ??= thrown
      throw thrown
    }
  }
}

/** PostgreSQL's text holds no NUL, which SQLite's does: names and logs may have one. */
const storable = (value: unknown): unknown =>
  typeof value === 'string' && value.includes('\0') ? value.replaceAll('\0', '\uFFFD') : value
