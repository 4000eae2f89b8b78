/** Most requests of one HTTP body, as 2025-03-26 allows lists of them. */
export const MAX_BATCH = 50

interface Message {
  id?: unknown
  method?: unknown
  params?: { requestId?: unknown }
}

/** The requests that run, so that another request can cancel them. Nothing is kept of those that have ended. */
export class RunningRequests {
  readonly #byKey = new Map<string, AbortController>()
  readonly #all = new Set<AbortController>()

  get size(): number {
    return this.#all.size
  }

  /**
   * Registers what a body asks.
   *
   * @param gone aborts when the client goes away
   * @returns a signal that aborts when the client cancels or goes away, and what to call at the end
   */
  add(
    teamId: string,
    session: string | null,
    body: unknown,
    gone: AbortSignal,
  ): { signal: AbortSignal; end(): void } {
    const controller = new AbortController()
    const abort = () => controller.abort(gone.reason)
    if (gone.aborted) abort()
    gone.addEventListener('abort', abort, { once: true })
    const keys = session === null ? [] : messagesOf(body).map(({ id }) => keyOf(teamId, session, id))
    for (const key of keys) this.#byKey.set(key, controller)
    this.#all.add(controller)
    const end = () => {
      gone.removeEventListener('abort', abort)
      for (const key of keys) if (this.#byKey.get(key) === controller) this.#byKey.delete(key)
      this.#all.delete(controller)
    }
    return { signal: controller.signal, end }
  }

  /** Cancels the request that a notification names. @returns false when the body is something else */
  cancel(teamId: string, session: string | null, body: unknown): boolean {
    const { method, params } = (body ?? {}) as Message
    if (method !== 'notifications/cancelled' || session === null) return false
    const id = params?.requestId
    if (isId(id))
      this.#byKey.get(keyOf(teamId, session, id))?.abort(new Error('the client cancelled the call'))
    return true
  }

  abortAll(): void {
    for (const controller of this.#all) controller.abort(new Error('the server is stopping'))
  }
}

const messagesOf = (body: unknown): Message[] =>
  (Array.isArray(body) ? body : [body]).filter((message) => isId((message as Message | null | undefined)?.id))

/** Longest id of a request that can be cancelled. */
const MAX_ID_CHARS = 256

const isId = (id: unknown): boolean =>
  typeof id === 'number' || (typeof id === 'string' && id.length <= MAX_ID_CHARS)

/** A team, one of its sessions, and the id of a request, which is a number or text. */
const keyOf = (teamId: string, session: string, id: unknown): string => JSON.stringify([teamId, session, id])
