import { SandlotError } from '@sandlot/protocol'
import pg from 'pg'
import { clientConfig } from './dialects/postgres-client.ts'
import { withoutPassword } from './store-url.ts'

const MIN_VERSION = 14

/**
 * Connects once, so that a start reports what is wrong with a database before anything else.
 * @throws SandlotError invalid_request, store_unavailable
 */
export async function checkPostgres(url: string): Promise<void> {
  let client: pg.Client | undefined
  try {
    client = new pg.Client(clientConfig(url, { applicationName: 'sandlot check' }))
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query<{ version: string; shown: string; database: string; user: string }>(
      `select current_setting('server_version_num') as version, current_setting('server_version') as shown`,
    )
    const { version, shown } = rows[0]!
    if (Number(version) < MIN_VERSION * 10_000)
      throw new SandlotError(
        'invalid_request',
        `the store ${withoutPassword(url)} is PostgreSQL ${shown}; Sandlot needs ${MIN_VERSION} or newer`,
      )
  } catch (error) {
    throw describeConnectError(error, url)
  } finally {
    await client?.end().catch(() => {})
  }
}

/** One sentence about why a database cannot be used, without its password; errors that say it already pass through. */
export function describeConnectError(error: unknown, url: string): SandlotError {
  const cause = error instanceof SandlotError && error.errorName === 'store_unavailable' ? error.cause : error
  if (cause instanceof SandlotError) return cause
  const { code = '', message = '' } = (cause ?? {}) as { code?: string; message?: string }
  const { host, user, database } = partsOf(url)
  const store = `the store ${withoutPassword(url)} cannot be used`
  const refuse = (reason: string) => new SandlotError('invalid_request', `${store}: ${reason}`, { cause })
  const wait = (reason: string) => new SandlotError('store_unavailable', `${store}: ${reason}`, { cause })
  if (code === '28P01') return refuse(`PostgreSQL refuses the password of user '${user}'`)
  if (/password must be a string/.test(message))
    return refuse(
      `PostgreSQL asks for a password of user '${user}', and neither the URL nor PGPASSWORD has one`,
    )
  if (code === '28000') return refuse(`PostgreSQL does not let user '${user}' in (${message})`)
  if (code === '3D000') return refuse(`there is no database '${database}'; create it with \`createdb\``)
  // 3F000: there is a schema, and no right to use it
  if (code === '42501' || code === '3F000')
    return refuse(
      `user '${user}' has no right to make tables there (${message}); \`createdb -O ${user}\` gives it`,
    )
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return wait(`no host '${host}' is known here`)
  if (code === 'ECONNREFUSED' || code === 'ENOENT') return wait(`nothing listens at ${host}`)
  if (code === 'ETIMEDOUT' || /timeout/i.test(message))
    return wait(`${host} does not answer within 5 seconds`)
  if (code === '53300') return wait('all connections that PostgreSQL allows are taken')
  if (code.startsWith('57P')) return wait(`PostgreSQL is starting or stopping (${message})`)
  if (/SSL|certificate|TLS/i.test(`${code} ${message}`)) return refuse(`TLS: ${message}`)
  return wait(message || `an unknown error (${code})`)
}

function partsOf(url: string): { host: string; user: string; database: string } {
  try {
    const {
      host,
      port,
      user = '',
      database = '',
    } = new pg.Client(clientConfig(url, { applicationName: 'sandlot check' }))
    return {
      host: host.startsWith('/') ? `${host}/.s.PGSQL.${port}` : `${host}:${port}`,
      user,
      database,
    }
  } catch {
    return { host: 'its host', user: '?', database: '?' }
  }
}
