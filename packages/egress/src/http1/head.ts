import { METHODS, STATUS_CODES } from 'node:http'
import { valuesOf } from '../http/headers.ts'
import type { RawHeaders } from '../http/message.ts'
import { MalformedError } from './malformed.ts'

const KNOWN_METHODS = new Set(METHODS)
const REQUEST_LINE = /^([A-Z-]{1,20}) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.([01])$/
/** The reason is not looked at: servers put anything there. */
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([^\r\n]*))?$/
const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
const LENGTH = /^[0-9]{1,15}$/
const SPACE = 0x20
const TAB = 0x09

export interface RequestHead {
  method: string
  /** As sent. */
  target: string
  /** 0 for HTTP/1.0. */
  minor: number
  headers: RawHeaders
  framing: Framing
}

export interface AnswerHead {
  status: number
  /** Empty when the server sent none that may be passed on. */
  reason: string
  minor: number
  headers: RawHeaders
  framing: Framing
}

/** How the end of a body is found. */
export type Framing =
  | { kind: 'none' }
  | { kind: 'length'; sizeBytes: number }
  | { kind: 'chunked' }
  /** The body of an answer ends with its connection. */
  | { kind: 'close' }

const NONE: Framing = { kind: 'none' }

/** @param text lines with their ends, the last one empty, as `HeadReader` returns them. @throws MalformedError */
export function parseRequest(text: string): RequestHead {
  const { first, headers } = linesOf(text)
  const [, method = '', target = '', minor] = REQUEST_LINE.exec(first) ?? []
  if (!KNOWN_METHODS.has(method)) throw new MalformedError('the first line is not that of a request')
  const framing = framingOf(headers) ?? NONE
  // HTTP/1.0 has no chunks, so a server may see a body where the proxy sees the next request (RFC 9112, 6.1)
  if (framing.kind === 'chunked' && minor === '0') throw new MalformedError('HTTP/1.0 has no chunks')
  return { method, target, minor: Number(minor), headers, framing }
}

/** @param method of the request. @throws MalformedError */
export function parseAnswer(text: string, method: string): AnswerHead {
  const { first, headers } = linesOf(text)
  const found = STATUS_LINE.exec(first)
  if (!found) throw new MalformedError('the first line is not that of an answer')
  const [, minor, code, reason = ''] = found
  const status = Number(code)
  const framing = framingOf(headers) ?? { kind: 'close' }
  const hasBody = method !== 'HEAD' && status >= 200 && status !== 204 && status !== 304
  return {
    ...{ status, headers, minor: Number(minor) },
    reason: VALUE.test(reason) ? reason : '',
    framing: hasBody ? framing : NONE,
  }
}

/** Reads the lines of trailers. @throws MalformedError */
export const parseTrailers = (text: string): RawHeaders => headersOf(text.split('\r\n').slice(0, -2))

export function formatRequest(method: string, path: string, headers: RawHeaders): Buffer {
  return Buffer.from(`${method} ${path} HTTP/1.1\r\n${formatHeaders(headers)}\r\n`, 'latin1')
}

export function formatAnswer(status: number, reason: string, headers: RawHeaders): Buffer {
  const phrase = reason === '' ? (STATUS_CODES[status] ?? '') : reason
  return Buffer.from(`HTTP/1.1 ${status} ${phrase}\r\n${formatHeaders(headers)}\r\n`, 'latin1')
}

/**
 * Writes headers that were read, or that a rule sets.
 * @throws MalformedError a header that would change where the head ends: nothing of it may be sent
 */
export function formatHeaders(headers: RawHeaders): string {
  let text = ''
  for (let i = 0; i < headers.length; i += 2) {
    const [name, value] = [headers[i]!, headers[i + 1]!]
    if (!NAME.test(name) || !VALUE.test(value)) throw new MalformedError('a header has forbidden characters')
    text += `${name}: ${value}\r\n`
  }
  return text
}

/** Whether one of the comma-separated values of a header is `token`, ignoring case. */
export const hasToken = (headers: RawHeaders, name: string, token: string): boolean =>
  valuesOf(headers, name).some((value) =>
    value.split(',').some((part) => part.trim().toLowerCase() === token),
  )

function linesOf(text: string): { first: string; headers: RawHeaders } {
  const [first = '', ...lines] = text.split('\r\n').slice(0, -2)
  return { first, headers: headersOf(lines) }
}

function headersOf(lines: string[]): RawHeaders {
  const headers: RawHeaders = []
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon))
    const value = trimmed(line, colon + 1)
    // a folded line begins with a blank, which no name does
    if (!NAME.test(name) || !VALUE.test(value)) throw new MalformedError('a line of the head is no header')
    headers.push(name, value)
  }
  return headers
}

/** Removes blanks and tabs only; `String.trim` removes bytes that are part of a value. */
function trimmed(line: string, from: number): string {
  let [start, end] = [from, line.length]
  while (start < end && isBlank(line.charCodeAt(start))) start++
  while (end > start && isBlank(line.charCodeAt(end - 1))) end--
  return line.slice(start, end)
}

const isBlank = (code: number): boolean => code === SPACE || code === TAB

/** @returns undefined when the head announces no body */
function framingOf(headers: RawHeaders): Framing | undefined {
  const codings = valuesOf(headers, 'transfer-encoding')
  const lengths = valuesOf(headers, 'content-length')
  if (codings.length > 0) {
    if (lengths.length > 0) throw new MalformedError('the head has a length and a transfer encoding')
    if (codings.length > 1 || codings[0]!.toLowerCase() !== 'chunked')
      throw new MalformedError('the transfer encoding is not "chunked"')
    return { kind: 'chunked' }
  }
  if (lengths.length === 0) return undefined
  if (lengths.length > 1) throw new MalformedError('the head has several lengths')
  if (!LENGTH.test(lengths[0]!)) throw new MalformedError('the length is not a number')
  const sizeBytes = Number(lengths[0])
  return sizeBytes === 0 ? NONE : { kind: 'length', sizeBytes }
}
