import { passableTrailers } from '@sandlot/protocol/http-headers'
import type { RawHeaders } from '../http/message.ts'
import { formatHeaders } from './head.ts'

export const END_OF_CHUNK = Buffer.from('\r\n')

export const sizeLine = (sizeBytes: number): Buffer => Buffer.from(`${sizeBytes.toString(16)}\r\n`)

/** Returns the end of a chunked body, with those trailers that may pass. */
export const lastChunk = (trailers: RawHeaders): Buffer =>
  Buffer.from(`0\r\n${formatHeaders(passableTrailers(trailers))}\r\n`, 'latin1')
