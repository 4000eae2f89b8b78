import { setTimeout as sleep } from 'node:timers/promises'
import { SandlotError } from '@sandlot/protocol'
import { sql } from 'kysely'
import pg from 'pg'
import type { Gate } from './dialects/postgres.ts'
import { clientConfig } from './dialects/postgres-client.ts'
import { endConnectionsOf, unendableConnections } from './former-connections.ts'
import { type PostgresLink, postgresLinkOf, type Store } from './open-store.ts'

/**
 * The lease ends this long after its last renewal, by the database's clock or by that of a standby server that watched it;
 * the standby server takes over within `POLL_MS` more.
 */
const TTL_MS = 8_000
const RENEW_MS = 2_000
const POLL_MS = 1_000
/** The holder stops before the database says that its lease is over: its clock starts when a renewal is sent. */
const MARGIN_MS = 1_500
/** Longest that a renewal waits for the database's answer; the next one goes over another connection. */
const ANSWER_TIMEOUT_MS = 3_000
/** How long statements wait for a renewal that is late, before their callers are told to try again. */
const OPENING_TIMEOUT_MS = 5_000
const OPENING_INTERVAL_MS = 100

/** Callbacks about the lease. */
export interface LeaseListener {
  /** Called once for each holder that this server waits for, with what is known of that server. */
  onWaiting(holder: string): void
  /** Called when another server is the active one: this process must end. */
  onLost(reason: string): void
}

export interface LeaseOptions extends LeaseListener {
  /** Shown to servers that wait: machine, home and process. */
  about: string
  /** Gives up waiting. */
  signal?: AbortSignal
}

export interface Lease {
  /** Lets the next server take over at once. */
  release(): Promise<void>
}

/**
 * Waits until this server is the one active server of the database, and keeps it so. From then on statements of the
 * store fail while the lease is not certain (docs/adr/0032).
 * @throws what `signal` was aborted with
 */
export async function takeLease(store: Store, options: LeaseOptions): Promise<Lease> {
  const link = postgresLinkOf(store)
  if (!link) throw new Error('only PostgreSQL has a lease')
  const lease = new HeldLease(link, options)
  await lease.take()
  return lease
}

/** @returns what is known of the active server of a PostgreSQL database; undefined: there is none */
export async function leaseHolder(store: Store): Promise<string | undefined> {
  const row = await store
    .selectFrom('control_plane_lease')
    .select('about')
    .where('expires_at', '>', sql<Date>`clock_timestamp()`)
    .executeTakeFirst()
  return row?.about
}

interface LeaseRow {
  holder: string
  about: string
  epoch: number
  /** Changes with each renewal. */
  expiry: string
  /** By the clock of the database. */
  is_over: boolean
}

/**
 * Notices by this process's own clock that a lease is no longer renewed: after a correction of the database's clock its
 * expiry may be hours away.
 */
class LeaseWatch {
  #seen = ''
  #seenAtMs = 0

  /** @param sentMs when the question was sent whose answer `row` is, by `performance.now()` */
  isAbandoned({ epoch, expiry }: LeaseRow, sentMs: number): boolean {
    const version = `${epoch} ${expiry}`
    if (version === this.#seen) return sentMs - this.#seenAtMs > TTL_MS
    this.#seen = version
    this.#seenAtMs = performance.now()
    return false
  }

  /** The holder could not renew either while the database was away. */
  reset(): void {
    this.#seen = ''
  }
}

class HeldLease implements Lease, Gate {
  readonly #link: PostgresLink
  readonly #options: LeaseOptions
  /** Servers whose lease this one has waited for or taken over. */
  readonly #formerHolders = new Set<string>()
  readonly #watch = new LeaseWatch()
  #client: pg.Client | undefined
  #epoch = 0
  /** By `performance.now()`. */
  #certainUntilMs = 0
  #timer: NodeJS.Timeout | undefined
  #renewal: Promise<void> | undefined
  #lostBecause: string | undefined
  #isReleased = false

  constructor(link: PostgresLink, options: LeaseOptions) {
    this.#link = link
    this.#options = options
  }

  async take(): Promise<void> {
    let waitingFor: string | undefined
    for (;;) {
      this.#options.signal?.throwIfAborted()
      const sentMs = performance.now()
      const holder = await this.#tryTake().catch((error: Error) => {
        this.#dropConnection()
        this.#watch.reset()
        return `a database that does not answer (${error.message})`
      })
      if (holder === undefined) {
        this.#certainUntilMs = sentMs + TTL_MS - MARGIN_MS
        break
      }
      if (holder !== waitingFor) this.#options.onWaiting(holder)
      waitingFor = holder
      await sleep(POLL_MS)
    }
    this.#link.setGate(this)
    this.#renewLater()
  }

  /** @returns the server that holds the lease; undefined: this one does now */
  async #tryTake(): Promise<string | undefined> {
    const client = await this.#connected()
    const { applicationName } = this.#link
    const sentMs = performance.now()
    const { rows } = await client.query<LeaseRow>(
      `select holder, about, epoch, extract(epoch from expires_at)::text as expiry, expires_at < clock_timestamp() as is_over
        from control_plane_lease`,
    )
    const row = rows[0]
    if (row && row.holder !== applicationName) {
      this.#formerHolders.add(row.holder)
      if (!row.is_over && !this.#watch.isAbandoned(row, sentMs)) return row.about
      const unendable = await unendableConnections(client, this.#formerHolders)
      if (unendable) return `${row.about} ${unendable}, and`
    }
    // may be our own lease: the answer to an earlier attempt may have been lost
    const taken = await client.query<{ epoch: number }>(
      `insert into control_plane_lease as lease (name, holder, about, epoch, expires_at)
        values ('active', $1, $2, 1, clock_timestamp() + $3 * interval '1 ms')
        on conflict (name) do update set holder = excluded.holder, about = excluded.about, epoch = lease.epoch + 1,
          expires_at = excluded.expires_at
        where lease.holder = excluded.holder
          or lease.epoch = $4 and extract(epoch from lease.expires_at)::text = $5
        returning epoch`,
      [applicationName, this.#options.about, TTL_MS, row?.epoch ?? 0, row?.expiry ?? ''],
    )
    if (!taken.rows[0]) return row?.about ?? 'another server'
    this.#epoch = taken.rows[0].epoch
    const open = await endConnectionsOf(client, this.#formerHolders)
    return open && `the former server ${open}, and`
  }

  /** A connection beside the pool, which may be busy: a lease must not be lost for that. */
  async #connected(): Promise<pg.Client> {
    if (this.#client) return this.#client
    const client = new pg.Client({
      ...clientConfig(this.#link.url, {
        applicationName: `${this.#link.applicationName} lease`,
        statementTimeoutMs: ANSWER_TIMEOUT_MS,
      }),
      query_timeout: ANSWER_TIMEOUT_MS,
      connectionTimeoutMillis: ANSWER_TIMEOUT_MS,
    })
    const drop = () => {
      if (this.#client === client) this.#client = undefined
    }
    client.on('error', drop)
    client.on('end', drop)
    await client.connect()
    this.#client = client
    return client
  }

  /** Ends a connection without waiting, because one that does not answer may not end either. */
  #dropConnection(): void {
    void this.#client?.end().catch(() => {})
    this.#client = undefined
  }

  #renewLater(delayMs = RENEW_MS): void {
    if (this.#isReleased || this.#lostBecause !== undefined) return
    this.#timer = setTimeout(() => void (this.#renewal = this.#renew()), delayMs)
    this.#timer.unref()
  }

  async #renew(): Promise<void> {
    const sentMs = performance.now()
    try {
      const client = await this.#connected()
      const { rowCount } = await client.query(
        `update control_plane_lease set expires_at = clock_timestamp() + $1 * interval '1 ms'
          where holder = $2 and epoch = $3`,
        [TTL_MS, this.#link.applicationName, this.#epoch],
      )
      if (rowCount === 0) return await this.#lose(client)
      this.#certainUntilMs = sentMs + TTL_MS - MARGIN_MS
      this.#renewLater()
    } catch {
      // the database does not answer: no other server can take the lease meanwhile, and a later renewal tells whether one did
      this.#dropConnection()
      this.#renewLater(RENEW_MS / 4)
    }
  }

  async #lose(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ about: string }>('select about from control_plane_lease')
    this.#closeFor(rows[0]?.about)
  }

  #closeFor(holder = 'another server'): void {
    if (this.#lostBecause !== undefined || this.#isReleased) return
    this.#lostBecause = `${holder} is the active server of the database now`
    this.#options.onLost(this.#lostBecause)
  }

  isOpen(): boolean {
    return !this.#isReleased && this.#lostBecause === undefined && performance.now() < this.#certainUntilMs
  }

  /** Opens the gate again with the next renewal, for a process that was stopped for some seconds. */
  async opened(): Promise<void> {
    const deadline = performance.now() + OPENING_TIMEOUT_MS
    while (!this.isOpen()) {
      if (this.#lostBecause !== undefined || this.#isReleased || performance.now() > deadline)
        throw new SandlotError(
          'store_unavailable',
          this.#lostBecause ??
            'the database did not confirm that this server is its active one; try again in a moment',
          { retryAfterSeconds: 2 },
        )
      await sleep(OPENING_INTERVAL_MS)
    }
  }

  async admit(client: pg.ClientBase): Promise<void> {
    const { rows } = await client.query<{ about: string; is_ours: boolean }>(
      `select about, holder = $1 and epoch = $2 as is_ours from control_plane_lease`,
      [this.#link.applicationName, this.#epoch],
    )
    if (rows[0]?.is_ours) return
    this.#closeFor(rows[0]?.about)
    await this.opened()
  }

  async release(): Promise<void> {
    this.#isReleased = true
    clearTimeout(this.#timer)
    // a renewal that arrives after the release would undo it
    await this.#renewal
    const client = await this.#connected().catch(() => undefined)
    await client
      ?.query(
        `update control_plane_lease set expires_at = clock_timestamp() where holder = $1 and epoch = $2`,
        [this.#link.applicationName, this.#epoch],
      )
      .catch(() => {})
    await client?.end().catch(() => {})
  }
}
