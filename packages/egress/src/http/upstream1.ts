import { type Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http'
import { pairsOf } from './headers.ts'
import {
  type AnswerListener,
  MAX_HEADER_BYTES,
  type RawHeaders,
  type UpstreamHead,
  type UpstreamRequest,
} from './message.ts'

/** A server may send interim answers (100, 102, 103) before its answer; Node does not limit their number. */
export const MAX_INTERIM_ANSWERS = 20

/** The server had closed a kept connection before the request reached it. */
export class StaleConnectionError extends Error {
  override readonly name = 'StaleConnectionError'
}

/** Begins a request in HTTP/1.1. @throws node:http's error when HTTP/1.1 cannot carry the head */
export function sendHttp1(agent: Agent, head: UpstreamHead, listener: AnswerListener): UpstreamRequest {
  const request = startRequest(agent, head)
  let isOver = false
  const fail = (error: Error): void => {
    if (isOver) return
    isOver = true
    request.destroy()
    listener.failed(error)
  }
  let interim = 0
  request.on('information', ({ statusCode, rawHeaders }) => {
    if (++interim > MAX_INTERIM_ANSWERS) fail(new Error('the server sends interim answers without end'))
    else if (!isOver) listener.interim(statusCode, rawHeaders)
  })
  request.once('upgrade', (_answer, socket) => {
    socket.destroy()
    fail(new Error('the server changed the protocol without a request to'))
  })
  request.once('response', (answer) => {
    if (isOver) return
    passHead(answer, head.method, listener)
    answer.once('end', () => {
      if (isOver || !answer.complete) return
      isOver = true
      listener.complete(answer.rawTrailers)
    })
    answer.once('error', fail)
    answer.once('close', () => fail(new Error('the server closed the connection amid its answer')))
  })
  request.on('error', (error) => fail(isStale(request, error) ? stale(error) : error))
  request.once('close', () => fail(new Error('the server closed the connection without an answer')))
  return {
    sink: request,
    setTrailers: (trailers) => request.addTrailers(pairsOf(trailers)),
    end: () => void request.end(),
    flushHead: () => {
      if (!request.destroyed) request.flushHeaders()
    },
    abort: () => {
      isOver = true
      request.destroy()
    },
  }
}

/** Makes a request of Node from a head, with the headers as they are. */
export function startRequest(agent: Agent, head: UpstreamHead): ClientRequest {
  const headers: RawHeaders =
    head.authority === undefined ? head.headers : ['Host', head.authority, ...head.headers]
  return httpRequest({
    agent,
    method: head.method,
    path: head.path,
    headers,
    setHost: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    // the exchange measures idle time on both sides
    timeout: 0,
  })
}

function passHead(answer: IncomingMessage, method: string, listener: AnswerListener): void {
  const status = answer.statusCode ?? 502
  listener.head(
    {
      status,
      reason: answer.statusMessage,
      headers: answer.rawHeaders,
      endsHere: method === 'HEAD' || status === 204 || status === 304,
    },
    answer,
  )
}

const isStale = (request: ClientRequest, error: NodeJS.ErrnoException): boolean =>
  request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')

const stale = (cause: Error): StaleConnectionError =>
  new StaleConnectionError('the server had closed the connection', { cause })
