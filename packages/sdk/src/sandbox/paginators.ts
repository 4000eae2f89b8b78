import { type Api, openApi } from '../api/client.ts'
import { type ApiAnswer, apiErrorOf } from '../api/error.ts'
import type { Schema } from '../api/schema.ts'
import { ConnectionConfig } from '../connection-config.ts'
import { Paginator } from '../paginator.ts'
import { type SandboxInfo, type SnapshotInfo, toSandboxInfo, toSnapshotInfo } from './info.ts'
import type { SandboxApiOpts, SandboxListOpts, SnapshotListOpts } from './options.ts'

type Page<Listed> = ApiAnswer & { data?: Listed[] }

/** Paginator of one route of the REST API. */
abstract class ApiPaginator<Listed, Item> extends Paginator<Item, SandboxApiOpts> {
  override async nextItems(opts?: SandboxApiOpts): Promise<Item[]> {
    this.assertHasNext()
    const config = new ConnectionConfig({ ...this.opts, ...opts })
    const answer = await this.ask(await openApi(config), config.getSignal(undefined, opts?.signal))
    const error = apiErrorOf(answer)
    if (error) throw error
    this.updatePagination(answer.response)
    return (answer.data ?? []).map((listed) => this.toItem(listed))
  }

  /** Requests the page that `limit` and `nextToken` name. */
  protected abstract ask(api: Api, signal: AbortSignal | undefined): Promise<ApiAnswer & { data?: Listed[] }>
  protected abstract toItem(listed: Listed): Item
}

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
export class SandboxPaginator extends ApiPaginator<Schema<'ListedSandbox'>, SandboxInfo> {
  private readonly query: SandboxListOpts['query']
  private readonly order: SandboxListOpts['order']

  constructor(opts?: SandboxListOpts) {
    const { query, order, limit, nextToken, ...connection } = opts ?? {}
    super(connection, limit, nextToken)
    this.query = query
    this.order = order
  }

  protected override ask(api: Api, signal: AbortSignal | undefined): Promise<Page<Schema<'ListedSandbox'>>> {
    const { metadata, state, startedAfter, template } = this.query ?? {}
    return api.GET('/v2/sandboxes', {
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
      signal,
    })
  }

  protected override toItem = listedInfo
}

/** Pages of snapshots. */
export class SnapshotPaginator extends ApiPaginator<Schema<'SnapshotInfo'>, SnapshotInfo> {
  private readonly sandboxId?: string
  private readonly name?: string

  constructor(opts?: SnapshotListOpts) {
    const { sandboxId, name, limit, nextToken, ...connection } = opts ?? {}
    super(connection, limit, nextToken)
    this.sandboxId = sandboxId
    this.name = name
  }

  protected override ask(api: Api, signal: AbortSignal | undefined): Promise<Page<Schema<'SnapshotInfo'>>> {
    const { limit, nextToken } = this
    const query = { sandboxID: this.sandboxId, name: this.name, limit, nextToken }
    return api.GET('/snapshots', { params: { query }, signal })
  }

  protected override toItem = toSnapshotInfo
}

/** Information in lists, without the fields that lists never contain. */
function listedInfo(sandbox: Parameters<typeof toSandboxInfo>[0]): SandboxInfo {
  const { allowInternetAccess, network, lifecycle, sandboxDomain, volumeMounts, ...info } =
    toSandboxInfo(sandbox)
  return { ...info, ...(sandbox.volumeMounts && { volumeMounts }) }
}

/** Encodes each key and value, and then the pairs as a form; the query encodes the result again (wire spec, 2.2). */
const encodeMetadata = (metadata: Record<string, string>): string =>
  new URLSearchParams(
    Object.entries(metadata).map(([key, value]) => [encodeURIComponent(key), encodeURIComponent(value)]),
  ).toString()
