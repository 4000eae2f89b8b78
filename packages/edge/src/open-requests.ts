import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'

/**
 * Maximum number of pipelined requests of a connection: real clients send fewer, and the server handles all of them
 * concurrently.
 */
const MAX_PIPELINED = 100
/** Pace at which the rest of a request's body must arrive after the answer was sent, or the connection ends. */
const REST_INTERVAL_MS = 5_000
const REST_MIN_BYTES = 64 * 1024
const REST_MAX_INTERVALS = 120
/** Idle time after requests whose handler called `endSoon`. */
const REST_MAX_BYTES = 64 * 1024 * 1024
const SWEEP_INTERVAL_MS = 5_000
/** Idle time of a session that never sent a request. */
const UNUSED_SESSION_MS = 30_000
/** Maximum number of frames in one sweep interval that only ask for an acknowledgement. */
const MAX_CONTROL_FRAMES = 1_000

/** Lets a handler decide about the connection of its request. */
export interface RequestConnection {
  /** Shortens the idle time of the connection after its last pending request. Must be called before the answer. */
  endSoon(): void
}

export interface IdleTimes {
  /** Idle time between requests to sandboxes. */
  longMs: number
  /** Idle time after a handler called `endSoon`. */
  shortMs: number
}

/** Tracks the pending requests of each HTTP/1.1 connection, and ends connections that are idle or have too many. */
export class OpenRequests {
  readonly #idle: IdleTimes
  readonly #pending = new WeakMap<Socket, number>()

  constructor(idle: IdleTimes) {
    this.#idle = idle
  }

  /** @returns undefined when the connection had too many pending requests and was broken */
  add(request: IncomingMessage, response: ServerResponse): RequestConnection | undefined {
    const { socket } = request
    const pending = (this.#pending.get(socket) ?? 0) + 1
    if (pending > MAX_PIPELINED) {
      socket.destroy()
      return undefined
    }
    this.#pending.set(socket, pending)
    let isShort = false
    response.once('close', () => {
      const left = this.#pending.get(socket)! - 1
      this.#pending.set(socket, left)
      if (socket.destroyed) return
      if (!request.complete) awaitRest(request, socket, isShort ? REST_MAX_BYTES : Number.POSITIVE_INFINITY)
      // Node has just set the longer timeout, and resets the timeout when the next request arrives.
      else if (isShort && left === 0) socket.setTimeout(this.#idle.shortMs)
    })
    return {
      endSoon: () => {
        isShort = true
        if (!response.headersSent)
          response.setHeader('keep-alive', `timeout=${Math.floor(this.#idle.shortMs / 1000)}`)
      },
    }
  }
}

/**
 * Watches the rest of a request's body after the answer was sent. Node reads and drops the rest, as some clients read
 * the answer only after they have sent everything. Breaks the connection when the rest arrives too slowly or is too large.
 * @param socket that of the request, which has none any more when its reader failed and destroyed it
 */
function awaitRest(request: IncomingMessage, socket: Socket, maxBytes: number): void {
  const first = socket.bytesRead
  let before = first
  let intervals = 0
  const timer = setInterval(() => {
    if (request.complete) return clearInterval(timer)
    const now = socket.bytesRead
    const isTooSlow = now - before < REST_MIN_BYTES || ++intervals > REST_MAX_INTERVALS
    if (isTooSlow || now - first > maxBytes) socket.destroy()
    before = now
  }, REST_INTERVAL_MS)
  socket.once('close', () => clearInterval(timer))
}

interface SessionState {
  streams: number
  idleSinceMs: number
  idleMs: number
  controlFrames: number
}

/** Like `OpenRequests`, for sessions of HTTP/2. */
export class Sessions {
  readonly #idle: IdleTimes
  readonly #states = new Map<ServerHttp2Session, SessionState>()
  readonly #timer: NodeJS.Timeout

  constructor(idle: IdleTimes) {
    this.#idle = idle
    this.#timer = setInterval(() => this.#sweep(), SWEEP_INTERVAL_MS).unref()
  }

  all(): Iterable<ServerHttp2Session> {
    return this.#states.keys()
  }

  add(session: ServerHttp2Session): void {
    const state = { streams: 0, idleSinceMs: performance.now(), idleMs: UNUSED_SESSION_MS, controlFrames: 0 }
    this.#states.set(session, state)
    session.once('close', () => this.#states.delete(session))
    session.on('stream', (stream: ServerHttp2Stream) => {
      state.streams++
      stream.once('close', () => {
        state.streams--
        state.idleSinceMs = performance.now()
      })
    })
    const count = () => {
      if (++state.controlFrames > MAX_CONTROL_FRAMES) session.destroy()
    }
    session.on('ping', count)
    session.on('remoteSettings', count)
  }

  connectionOf(stream: ServerHttp2Stream): RequestConnection {
    const state = stream.session && this.#states.get(stream.session as ServerHttp2Session)
    if (state) state.idleMs = this.#idle.longMs
    // After the answer was sent, the rest of the request's body is not needed (RFC 9113, 8.1).
    if (!stream.endAfterHeaders)
      stream.once('finish', () => {
        const timer = setTimeout(() => stream.close(), REST_INTERVAL_MS)
        stream.once('close', () => clearTimeout(timer))
      })
    return {
      endSoon: () => {
        if (state) state.idleMs = this.#idle.shortMs
      },
    }
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #sweep(): void {
    const nowMs = performance.now()
    for (const [session, state] of this.#states) {
      state.controlFrames = 0
      if (state.streams === 0 && nowMs - state.idleSinceMs > state.idleMs) session.close()
    }
  }
}
