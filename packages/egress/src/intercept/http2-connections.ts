import { performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import { Http2Downstream } from '../http/downstream2.ts'
import { MAX_HEADER_BYTES, type RawHeaders } from '../http/message.ts'
import type { RequestScope, Requests } from '../http/requests.ts'

const MAX_STREAMS = 100
const STREAM_WINDOW_BYTES = 1024 * 1024
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024
const SESSION_MEMORY_MEGABYTES = 32
const IDLE_SESSION_MS = 120_000
/** Frames in one interval that only ask for an acknowledgement, and streams that the client resets. */
const MAX_CONTROL_FRAMES = 1_000
const CONTROL_INTERVAL_MS = 5_000

/** Reads requests in HTTP/2 from connections that others have accepted. */
export class Http2Connections {
  readonly #requests: Requests
  readonly #onFailure: (error: unknown) => void
  readonly #sessions = new Set<ServerHttp2Session>()

  constructor(requests: Requests, onFailure: (error: unknown) => void) {
    this.#requests = requests
    this.#onFailure = onFailure
  }

  accept(socket: TLSSocket, scope: RequestScope): void {
    const session = performServerHandshake(socket, {
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxHeaderListSize: MAX_HEADER_BYTES,
        // WebSocket clients then connect in HTTP/1.1 (RFC 8441 lets a server leave out extended CONNECT)
        enableConnectProtocol: false,
      },
      maxSessionMemory: SESSION_MEMORY_MEGABYTES,
      // Rapid reset (CVE-2023-44487): limits cancelled streams to a burst, and then to a rate per second.
      streamResetBurst: 1_000,
      streamResetRate: 100,
    } as object)
    this.#sessions.add(session)
    session.on('error', () => {})
    session.setLocalWindowSize(SESSION_WINDOW_BYTES)
    const stop = boundControlFrames(session)
    const idle = setTimeout(() => session.close(), IDLE_SESSION_MS)
    let open = 0
    session.on('stream', (stream, _headers, _flags, raw: RawHeaders) => {
      open++
      clearTimeout(idle)
      stream.once('close', () => {
        if (--open === 0) idle.refresh()
      })
      this.#serve(scope, stream, raw)
    })
    session.once('close', () => {
      this.#sessions.delete(session)
      clearTimeout(idle)
      stop()
      socket.destroy()
    })
  }

  close(): void {
    for (const session of this.#sessions) session.destroy()
  }

  #serve(scope: RequestScope, stream: ServerHttp2Stream, raw: RawHeaders): void {
    const downstream = new Http2Downstream(stream, raw)
    this.#requests.serve(scope, downstream).catch((error) => {
      this.#onFailure(error)
      downstream.abort()
    })
  }
}

/** Ends a session that keeps the proxy busy without requests. @returns stops the check */
function boundControlFrames(session: ServerHttp2Session): () => void {
  let frames = 0
  const count = () => {
    if (++frames > MAX_CONTROL_FRAMES) session.destroy()
  }
  session.on('ping', count)
  session.on('remoteSettings', count)
  const timer = setInterval(() => {
    frames = 0
  }, CONTROL_INTERVAL_MS)
  return () => clearInterval(timer)
}
