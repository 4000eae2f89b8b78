import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { HOUR_MS, SandlotError } from '@sandlot/protocol'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

/** How fast a request's body must arrive. */
export interface BodyPace {
  totalMs: number
  intervalMs: number
  /** Bytes that must arrive in each interval. */
  minBytes: number
}

const API_BODY: BodyPace = { totalMs: 120_000, intervalMs: 10_000, minBytes: 4 * 1024 }
/** Pace for archives of at most 4 GiB, over slow uplinks. */
export const UPLOAD_BODY: BodyPace = { totalMs: 6 * HOUR_MS, intervalMs: 30_000, minBytes: 64 * 1024 }
/** Longest time for a client to receive an answer, which has a few megabytes at most. */
const ANSWER_TIMEOUT_MS = 120_000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Default: 4 KiB every 10 s, 2 minutes in all. */
    bodyPace?: BodyPace
    /** How fast the client must take the answer. Default: all of it within 2 minutes. */
    answerPace?: BodyPace
  }
}

/**
 * Limits how long the body of a request and an answer may take. Fastify's own limit does not apply, because requests
 * arrive at a listener of ours.
 */
export function setDeadlines(app: FastifyInstance): void {
  app.addHook('onRequest', (request, reply, done) => {
    if (hasBody(request.raw)) watchBody(request, reply)
    done()
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    const { raw } = reply
    const pace = request.routeOptions.config.answerPace
    if (pace) {
      watchAnswer(raw, pace)
      return done()
    }
    const timer = setTimeout(() => (raw.socket ?? raw).destroy(), ANSWER_TIMEOUT_MS).unref()
    raw.once('close', () => clearTimeout(timer))
    done()
  })
}

const isHttp2 = (raw: IncomingMessage): boolean => raw.httpVersionMajor === 2

function hasBody(raw: IncomingMessage): boolean {
  if (isHttp2(raw)) return !(raw as unknown as Http2ServerRequest).stream.endAfterHeaders
  const { headers } = raw
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
}

function watchBody({ raw, routeOptions }: FastifyRequest, reply: FastifyReply): void {
  const { totalMs, intervalMs, minBytes } = routeOptions.config.bodyPace ?? API_BODY
  const end = performance.now() + totalMs
  let before = raw.socket?.bytesRead ?? 0
  const timer = setInterval(() => {
    const received = raw.socket?.bytesRead ?? 0
    // after the answer was sent, the listener handles the rest of the body
    if (reply.raw.writableEnded) return clearInterval(timer)
    if (received - before >= minBytes && performance.now() < end) {
      before = received
      return
    }
    clearInterval(timer)
    giveUp(raw, reply)
  }, intervalMs).unref()
  raw.once('end', () => clearInterval(timer))
  raw.once('close', () => clearInterval(timer))
}

/** Cuts the connection of a client that does not take a long answer any more. */
function watchAnswer(raw: FastifyReply['raw'], { totalMs, intervalMs, minBytes }: BodyPace): void {
  const end = performance.now() + totalMs
  let before = 0
  const timer = setInterval(() => {
    const sent = raw.socket?.bytesWritten ?? 0
    if (sent - before >= minBytes && performance.now() < end) before = sent
    else (raw.socket ?? raw).destroy()
  }, intervalMs).unref()
  raw.once('close', () => clearInterval(timer))
}

/** Makes the reader of the body fail with an error, which is then sent as the answer. */
function giveUp(raw: IncomingMessage, reply: FastifyReply): void {
  if (raw.listenerCount('error') === 0) {
    raw.destroy()
    return
  }
  if (!isHttp2(raw)) reply.header('connection', 'close')
  raw.emit('error', new SandlotError('request_timeout', 'the body of the request did not arrive in time'))
}
