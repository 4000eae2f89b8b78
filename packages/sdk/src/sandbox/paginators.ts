import { openApi } from '../api/client.ts'
import { apiErrorOf } from '../api/error.ts'
import { ConnectionConfig } from '../connection-config.ts'
import { Paginator } from '../paginator.ts'
import { type SandboxInfo, type SnapshotInfo, toSandboxInfo, toSnapshotInfo } from './info.ts'
import type { SandboxApiOpts, SandboxListOpts, SnapshotListOpts } from './options.ts'

/**
 * Pages of sandboxes.
 *
 * @example
 * ```ts
 * const paginator = Sandbox.list({ query: { state: ['running'] } })
 * while (paginator.hasNext) {
 *   for (const { sandboxId } of await paginator.nextItems()) console.log(sandboxId)
 * }
 * ```
 */
export class SandboxPaginator extends Paginator<SandboxInfo, SandboxApiOpts> {
  private readonly query: SandboxListOpts['query']
  private readonly order: SandboxListOpts['order']

  constructor(opts?: SandboxListOpts) {
    const { query, order, limit, nextToken, ...connection } = opts ?? {}
    super(connection, limit, nextToken)
    this.query = query
    this.order = order
  }

  override async nextItems(opts?: SandboxApiOpts): Promise<SandboxInfo[]> {
    this.assertHasNext()
    const config = new ConnectionConfig({ ...this.opts, ...opts })
    const api = await openApi(config)
    const { metadata, state, startedAfter, template } = this.query ?? {}
    const answer = await api.GET('/v2/sandboxes', {
      params: {
        query: {
          metadata: metadata && encodeMetadata(metadata),
          state,
          startedAfter: startedAfter?.toISOString(),
          template,
          order: this.order,
          limit: this.limit,
          nextToken: this.nextToken,
        },
      },
      signal: config.getSignal(undefined, opts?.signal),
    })
    const error = apiErrorOf(answer)
    if (error) throw error
    this.updatePagination(answer.response)
    return (answer.data ?? []).map(listedInfo)
  }
}

/** Pages of snapshots. */
export class SnapshotPaginator extends Paginator<SnapshotInfo, SandboxApiOpts> {
  private readonly sandboxId?: string
  private readonly name?: string

  constructor(opts?: SnapshotListOpts) {
    const { sandboxId, name, limit, nextToken, ...connection } = opts ?? {}
    super(connection, limit, nextToken)
    this.sandboxId = sandboxId
    this.name = name
  }

  override async nextItems(opts?: SandboxApiOpts): Promise<SnapshotInfo[]> {
    this.assertHasNext()
    const config = new ConnectionConfig({ ...this.opts, ...opts })
    const api = await openApi(config)
    const answer = await api.GET('/snapshots', {
      params: {
        query: {
          sandboxID: this.sandboxId,
          name: this.name,
          limit: this.limit,
          nextToken: this.nextToken,
        },
      },
      signal: config.getSignal(undefined, opts?.signal),
    })
    const error = apiErrorOf(answer)
    if (error) throw error
    this.updatePagination(answer.response)
    return (answer.data ?? []).map(toSnapshotInfo)
  }
}

/** A list tells less than one sandbox does: what it never tells has no field. */
function listedInfo(sandbox: Parameters<typeof toSandboxInfo>[0]): SandboxInfo {
  const { allowInternetAccess, network, lifecycle, sandboxDomain, volumeMounts, ...info } =
    toSandboxInfo(sandbox)
  return { ...info, ...(sandbox.volumeMounts && { volumeMounts }) }
}

/** Each key and value is encoded, and the pairs as a form; the query then encodes the whole (wire spec, 2.2). */
const encodeMetadata = (metadata: Record<string, string>): string =>
  new URLSearchParams(
    Object.entries(metadata).map(([key, value]) => [encodeURIComponent(key), encodeURIComponent(value)]),
  ).toString()
