import type pg from 'pg'

/** How long PostgreSQL waits for the end of each connection. */
const END_TIMEOUT_MS = 500

/** Connections to this database that hold a transaction, or may begin one, of a server that held the lease. */
const OF_FORMER_HOLDERS = `pg_stat_activity join pg_roles as owner on owner.oid = usesysid
  where datname = current_database() and pid <> pg_backend_pid()
    and application_name = any($1)`
/** As `pg_terminate_backend` decides. */
const MAY_END = `(pg_has_role(current_user, usesysid, 'USAGE') or pg_has_role(current_user, 'pg_signal_backend', 'USAGE'))
  and (not owner.rolsuper or (select rolsuper from pg_roles where rolname = current_user))`

/**
 * Describes connections of former holders that the user of this server may not end, as they are another user's.
 * @returns undefined: there are none
 */
export async function unendableConnections(
  client: pg.Client,
  holders: Iterable<string>,
): Promise<string | undefined> {
  const { rows } = await client.query<{ owners: string | null; own: string }>(
    `select string_agg(distinct usename, ', ') as owners, current_user as own
      from ${OF_FORMER_HOLDERS} and not (${MAY_END})`,
    [[...holders]],
  )
  const { owners, own } = rows[0]!
  if (owners === null) return undefined
  return `has connections of user ${owners}, which user ${own} may not end (\`grant pg_signal_backend to ${own}\` lets it)`
}

/**
 * Ends the connections of former holders, whose process may have been stopped in the middle of a transaction and continue
 * after its lease is over. `admit` of its gate refuses new connections to it.
 * @returns what is still open; undefined: nothing is
 */
export async function endConnectionsOf(
  client: pg.Client,
  holders: Iterable<string>,
): Promise<string | undefined> {
  const names = [...holders]
  // the connections of their leases can do no harm, as renewals carry the epoch: nothing waits for their end
  await client.query(`select pg_terminate_backend(pid) from ${OF_FORMER_HOLDERS} and ${MAY_END}`, [
    names.map((name) => `${name} lease`),
  ])
  await client.query(
    `select pg_terminate_backend(pid, ${END_TIMEOUT_MS}) from ${OF_FORMER_HOLDERS} and ${MAY_END}`,
    [names],
  )
  const unendable = await unendableConnections(client, names)
  if (unendable) return unendable
  const { rows } = await client.query(`select 1 from ${OF_FORMER_HOLDERS} limit 1`, [names])
  return rows.length > 0 ? 'has connections that do not end' : undefined
}
