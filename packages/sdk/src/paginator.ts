import type { ConnectionOpts } from './connection-config.ts'

/**
 * Walks through a list page by page.
 *
 * @example
 * ```ts
 * const paginator = Sandbox.list()
 * while (paginator.hasNext) {
 *   console.log(await paginator.nextItems())
 * }
 * ```
 */
export abstract class Paginator<T, O extends ConnectionOpts = ConnectionOpts> {
  protected readonly opts?: O
  protected readonly limit?: number
  private _hasNext = true
  private _nextToken?: string

  constructor(opts?: O, limit?: number, nextToken?: string) {
    this.opts = opts
    this.limit = limit
    this._nextToken = nextToken
  }

  /** Whether {@link nextItems} may be called again; true before the first page. */
  get hasNext(): boolean {
    return this._hasNext
  }

  /** Position of the next page. Pass the token as `nextToken` to a new list to continue later. */
  get nextToken(): string | undefined {
    return this._nextToken
  }

  protected updatePagination(response: Response): void {
    this._nextToken = response.headers.get('x-next-token') || undefined
    this._hasNext = this._nextToken !== undefined
  }

  /** @throws Error when there is no further page */
  protected assertHasNext(): void {
    if (!this._hasNext) throw new Error('No more items to fetch')
  }

  /**
   * Fetches the next page.
   *
   * @param opts replaces the connection options of the list for this page, for example to pass a `signal`
   * @throws Error when `hasNext` is false
   */
  abstract nextItems(opts?: O): Promise<T[]>
}
