import { openApi } from '../api/client.ts'
import type { Schema } from '../api/schema.ts'
import { ConnectionConfig } from '../connection-config.ts'
import { Paginator } from '../paginator.ts'
import { assertDone, bodyOf } from './answer.ts'
import type { SandboxApiOpts } from './options.ts'

/** Least time for a request that waits. */
const FOLLOW_MS = 30_000

/** `http` and `https`: a request that the proxy read. `tls`: a connection whose name alone was read. */
export type SandboxEgressProtocol = Schema<'EgressProtocol'>
/** `failed`: allowed, but the connection could not be made or was cut. */
export type SandboxEgressVerdict = Schema<'EgressVerdict'>

/** A connection, an HTTP request or a DNS query of a sandbox. */
export interface SandboxEgressRecord {
  recordId: string
  startedAt: Date
  /** In milliseconds. */
  durationMs: number
  protocol: SandboxEgressProtocol
  /** Name of the destination, if one was seen. */
  name?: string
  /** IPv4 address that the sandbox connected to. */
  address?: string
  port?: number
  /** Bytes that the sandbox sent. */
  bytesOut: number
  /** Bytes that the sandbox received. */
  bytesIn: number
  verdict: SandboxEgressVerdict
  /** What decided, for example `deny 0.0.0.0/0`. */
  rule: string
  /** Why it was denied or failed. */
  reason?: string
  /** Only where the proxy reads requests; the path has no query. */
  http?: { method: string; host: string; path: string; status?: number }
}

export interface SandboxEgressOpts extends SandboxApiOpts {
  /** Only what began then or later. @default everything that the server keeps */
  since?: Date
  verdict?: SandboxEgressVerdict
  protocol?: SandboxEgressProtocol
  /** Only this destination; `*.name` for all names below it. */
  name?: string
  /** true: after the last record wait for new ones, until the sandbox has ended. @default false */
  follow?: boolean
  /** Maximum number of records of a page, 1 to 1000. @default 100 */
  limit?: number
  /** Where to start: `nextToken` of another paginator. */
  nextToken?: string
}

/**
 * Pages of connections that a sandbox made, the oldest first; also an iterable of the connections.
 *
 * @example
 * ```ts
 * for await (const { name, address, rule } of sandbox.egress({ verdict: 'denied' })) console.log(name ?? address, rule)
 * ```
 */
export class EgressPaginator extends Paginator<SandboxEgressRecord, SandboxApiOpts> {
  private readonly sandboxId: string
  private readonly query: Pick<SandboxEgressOpts, 'since' | 'verdict' | 'protocol' | 'name' | 'follow'>
  private cursor?: string
  private isOver = false

  constructor(sandboxId: string, opts?: SandboxEgressOpts) {
    const { since, verdict, protocol, name, follow, limit, nextToken, ...connection } = opts ?? {}
    super(connection, limit)
    this.sandboxId = sandboxId
    this.query = { since, verdict, protocol, name, follow }
    this.cursor = nextToken
  }

  /** Whether {@link nextItems} may be called again. With `follow`: true until the sandbox has ended. */
  override get hasNext(): boolean {
    return !this.isOver
  }

  /** Position behind the last record that was returned. */
  override get nextToken(): string | undefined {
    return this.cursor
  }

  /** With `follow` the page may be empty: nothing happened for 20 s. */
  override async nextItems(opts?: SandboxApiOpts): Promise<SandboxEgressRecord[]> {
    if (this.isOver) throw new Error('No more items to fetch')
    const { since, follow, ...filter } = this.query
    const config = new ConnectionConfig({ ...this.opts, ...opts })
    const signal = opts?.signal ?? this.opts?.signal
    const api = await openApi(config)
    const path = { sandboxID: this.sandboxId }
    const answer = await api.GET('/sandboxes/{sandboxID}/egress', {
      params: {
        path,
        query: {
          ...filter,
          // without a cursor or a time the server returns the newest records
          ...(this.cursor === undefined
            ? { since: (since ?? new Date(0)).toISOString() }
            : { cursor: this.cursor, since: since?.toISOString() }),
          follow: follow || undefined,
          limit: this.limit,
        },
      },
      // the server waits for 20 s
      signal: config.getSignal(
        follow && config.requestTimeoutMs > 0 ? Math.max(config.requestTimeoutMs, FOLLOW_MS) : undefined,
        signal,
      ),
    })
    const { records, nextCursor, hasMore } = bodyOf(answer, this.sandboxId)
    this.cursor = nextCursor
    if (!follow) this.isOver = !hasMore
    else if (records.length === 0) {
      const found = await api.GET('/sandboxes/{sandboxID}', {
        params: { path },
        signal: config.getSignal(undefined, signal),
      })
      if (found.response.status === 404) this.isOver = true
      else assertDone(found, this.sandboxId)
    }
    return records.map(toRecord)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SandboxEgressRecord, void, undefined> {
    while (this.hasNext) yield* await this.nextItems()
  }
}

const toRecord = ({ recordID, startedAt, ...record }: Schema<'EgressRecord'>): SandboxEgressRecord => ({
  recordId: recordID,
  startedAt: new Date(startedAt),
  ...record,
})
