import type { Answer, Conversation } from './scripted-model.ts'

/** One event of a stream, as `text/event-stream` writes it. */
export interface ServerSentEvent {
  event?: string
  data: unknown
}

export interface Request {
  /** The parsed body; the protocol checks its content. */
  body: Record<string, unknown>
  /** Unique in the server; ids of messages and calls contain this number. */
  number: number
}

/** One API of a vendor: how requests are read, and how an answer is written. */
export interface Protocol {
  path: string
  /** The headers in any of which clients put their key. */
  keyIn: readonly string[]
  /** @throws BadRequest when the body is not one of this protocol */
  read(body: Record<string, unknown>): Conversation
  whole(answer: Answer, request: Request): unknown
  stream(answer: Answer, request: Request): Iterable<ServerSentEvent | '[DONE]'>
  error(type: string, message: string): unknown
}

/** A request violates the protocol; the message says what is wrong. */
export class BadRequest extends Error {}

export function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw new BadRequest(`${name} is ${typeof value}, must be a string`)
  return value
}

export function list(value: unknown, name: string): Array<Record<string, unknown>> {
  if (!Array.isArray(value)) throw new BadRequest(`${name} is ${typeof value}, must be a list`)
  return value as Array<Record<string, unknown>>
}

/** Returns the text of a content that is a string or a list of parts. */
export function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part: { text?: unknown }) => (typeof part.text === 'string' ? part.text : '')).join('')
}
