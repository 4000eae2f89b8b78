import { readFileSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'
import pg from 'pg'
import { parse } from 'pg-connection-string'
import { parametersOf, withoutPassword } from '../store-url.ts'

/** Longest time to connect, and to wait for a free connection of the pool. */
const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 30_000
/** How much later than the server's own limit statements end whose server disappeared without closing their connection. */
const ANSWER_MARGIN_MS = 5_000
const IDLE_TRANSACTION_TIMEOUT_MS = 30_000
/** Limits that a role or a database may have, and that are meant for people. `statement_timeout` bounds locks too. */
const WITHOUT_OTHER_LIMITS = '-c lock_timeout=0 -c idle_session_timeout=0'

const INT8 = 20
const NUMERIC = 1700

export interface ClientOptions {
  /** Shown in `pg_stat_activity`; a server that takes over ends the connections with this name. */
  applicationName: string
  /** Longest that one statement takes. Default 30 s. */
  statementTimeoutMs?: number
}

/**
 * Options of one connection. They win over those of the URL, as the lease depends on the name and the timeouts.
 * @throws SandlotError invalid_request: the URL, or a file that it names, cannot be read
 */
export function clientConfig(
  url: string,
  { applicationName, statementTimeoutMs = STATEMENT_TIMEOUT_MS }: ClientOptions,
): pg.ClientConfig {
  // only these: others would change how `pg` works
  const { host, port, user, password, database, ssl, sslnegotiation, enableChannelBinding, options } =
    addressIn(url)
  const address = { host, port, user, password, database, ssl, sslnegotiation, enableChannelBinding }
  return {
    ...(address as pg.ClientConfig),
    options: `${options ?? process.env.PGOPTIONS ?? ''} ${WITHOUT_OTHER_LIMITS}`.trim(),
    application_name: applicationName,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + ANSWER_MARGIN_MS,
    idle_in_transaction_session_timeout: IDLE_TRANSACTION_TIMEOUT_MS,
    keepAlive: true,
    types: { getTypeParser: ((oid: number, format: 'text') => typeParser(oid, format)) as never },
  }
}

/**
 * Class of connections to `url`, for a pool. Each connection reads certificates again, which may be renewed while a server
 * runs, and uses the former ones when that fails: an error in the constructor would end the process.
 */
export function clientClass(url: string, options: ClientOptions): typeof pg.Client {
  let config = clientConfig(url, options)
  return class extends pg.Client {
    constructor() {
      try {
        config = clientConfig(url, options)
      } catch {
        // the former ones
      }
      super(config)
    }
  }
}

function addressIn(url: string): ReturnType<typeof parse> {
  const refuse = (reason: string) =>
    new SandlotError('invalid_request', `the store ${withoutPassword(url)} cannot be used: ${reason}`)
  for (const [name, path] of parametersOf(url))
    if (/^ssl(rootcert|cert|key)$/.test(name) && path !== '')
      try {
        readFileSync(path)
      } catch (error) {
        throw refuse(`its ${name} cannot be read (${(error as Error).message})`)
      }
  let address: ReturnType<typeof parse>
  try {
    address = parse(url)
  } catch (error) {
    throw refuse(`its URL is not understood (${(error as Error).message})`)
  }
  const { port } = address
  // `pg` would wait for its connection forever
  if (port && !(/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535))
    throw refuse(`its port is '${port}'; it must be a number from 1 to 65535`)
  return address
}

/**
 * Parses sums and counts, which arrive as text because they may exceed the exact range of a number; Sandlot's never do.
 */
function typeParser(oid: number, format: 'text'): (value: string) => unknown {
  if (oid !== INT8 && oid !== NUMERIC) return pg.types.getTypeParser(oid, format)
  return (text) => {
    const value = Number(text)
    if (oid === INT8 && !Number.isSafeInteger(value))
      throw new SandlotError('internal_server_error', `the database holds ${text}, which is too large`)
    return value
  }
}
