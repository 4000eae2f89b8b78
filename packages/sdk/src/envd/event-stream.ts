import { Code, ConnectError } from '@connectrpc/connect'
import { SandboxNotFoundError } from '../errors.ts'
import type { Envd } from './envd.ts'
import { rpcErrorAfterProbe } from './rpc-error.ts'

/** Interval of keepalive messages in a silent stream, so that proxies with an idle limit do not close the stream. */
const KEEPALIVE_SECONDS = 50

export const streamHeaders = { 'Keepalive-Ping-Interval': String(KEEPALIVE_SECONDS) }

/** A server stream whose first event has arrived. */
export interface EventStream<Event> {
  first: Event
  /** All events after `first`; errors are converted to errors of the SDK. */
  rest: AsyncIterable<Event>
  /** Aborts the stream from the client's side. A pending read of `rest` rejects. */
  close(): void
}

export interface OpenOptions {
  /** Time limit until the first event; 0 means no limit. */
  requestTimeoutMs: number
  /** Aborts the stream, also after the first event. */
  signal?: AbortSignal
  /** Error class for "not found". @default NotFoundError */
  Missing?: new (
    message: string,
  ) => Error
}

/**
 * Starts a stream and waits for its first event, so that the call itself rejects when the start fails.
 *
 * @throws {@link SandboxNotFoundError} when nothing serves the sandbox any more
 */
export async function openStream<Event>(
  envd: Envd,
  start: (signal: AbortSignal) => AsyncIterable<Event>,
  { requestTimeoutMs, signal, Missing }: OpenOptions,
): Promise<EventStream<Event>> {
  const controller = new AbortController()
  const forward = () => controller.abort(signal?.reason)
  if (signal?.aborted) forward()
  signal?.addEventListener('abort', forward, { once: true })
  const release = () => signal?.removeEventListener('abort', forward)
  const timer = requestTimeoutMs
    ? setTimeout(
        () => controller.abort(new Error(`Request handshake timed out after ${requestTimeoutMs}ms`)),
        requestTimeoutMs,
      )
    : undefined
  try {
    const iterator = start(controller.signal)[Symbol.asyncIterator]()
    const first = await iterator.next()
    if (first.done) throw new Error('Expected start event')
    return {
      first: first.value,
      rest: translated(iterator, (error) => rpcErrorAfterProbe(error, envd, Missing), release),
      close() {
        release()
        controller.abort()
      },
    }
  } catch (error) {
    release()
    controller.abort()
    if (error instanceof ConnectError && error.code === Code.Unavailable)
      throw new SandboxNotFoundError('Sandbox is probably not running anymore')
    throw await rpcErrorAfterProbe(error, envd, Missing)
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Yields all events and converts errors. Reads past the last event, as otherwise the connection does not return to
 * its pool.
 */
async function* translated<Event>(
  iterator: AsyncIterator<Event>,
  translate: (error: unknown) => Promise<unknown>,
  release: () => void,
): AsyncIterable<Event> {
  try {
    for (;;) {
      const { done, value } = await iterator.next()
      if (done) return
      yield value
    }
  } catch (error) {
    throw await translate(error)
  } finally {
    release()
  }
}
