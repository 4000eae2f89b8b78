import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from 'node:http2'
import type { TLSSocket } from 'node:tls'

/** Requests and responses of the listener: objects of node:http, or of node:http2's compatibility layer. */
export type EdgeRequest = IncomingMessage | Http2ServerRequest
export type EdgeResponse = ServerResponse | Http2ServerResponse

/** Headers as on the wire: name, value, name, value …, in order, with their case and repetitions. */
export type RawHeaders = string[]

export const isHttp2Request = (request: EdgeRequest): request is Http2ServerRequest =>
  request.httpVersionMajor === 2
export const isHttp2Response = (response: EdgeResponse): response is Http2ServerResponse =>
  (response as { stream?: ServerHttp2Stream }).stream !== undefined

/** The Host header, or `:authority` of HTTP/2; empty when there is none. */
export function authorityOf(request: EdgeRequest): string {
  const { headers } = request
  return String(headers[':authority'] ?? headers.host ?? '')
}

export const isEncrypted = (request: EdgeRequest): boolean => (request.socket as TLSSocket).encrypted === true

/** The first value of a header; node:http2 types allow lists where node:http does not. */
export function headerOf(request: EdgeRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value[0] : value
}
