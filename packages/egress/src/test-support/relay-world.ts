import type { ServerHttp2Stream } from 'node:http2'
import { buffer } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { createServer, type TLSSocket } from 'node:tls'
import { ALL_RANGES } from '@sandlot/protocol/node'
import { FrameType, frame, headersFrames, PREFACE } from '../relay/frames.ts'
import { encodeHeaders } from '../relay/hpack.ts'
import { type InterceptedWorld, interceptedWorld } from './intercepted-world.ts'
import { http2Server, newTestAuthority } from './tls-servers.ts'

export const NAME = 'api.example.com'
export const policy = {
  allowNames: [NAME],
  denyRanges: [ALL_RANGES],
  transforms: { [NAME]: { 'x-set': 'yes' } },
}
export const EMPTY = Buffer.alloc(0)
export const SETTINGS = frame(FrameType.SETTINGS, 0, 0, EMPTY)
export const OPENING = Buffer.concat([PREFACE, SETTINGS])
export const REQUEST = [':method', 'GET', ':scheme', 'https', ':path', '/', ':authority', NAME]
export const request = (id: number, headers = REQUEST, isEnd = true): Buffer =>
  headersFrames(id, encodeHeaders(headers), isEnd)
export const times = (count: number, make: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)))

/** A server whose streams are handled by the test. */
export async function worldOf(
  onStream: (stream: ServerHttp2Stream, headers: string[]) => void,
): Promise<InterceptedWorld> {
  const authority = await newTestAuthority()
  const server = http2Server(await authority.leafFor(NAME))
  server.on('stream', (stream: ServerHttp2Stream, _headers: object, _flags: number, raw: unknown) => {
    stream.on('error', () => {})
    onStream(stream, raw as string[])
  })
  server.on('sessionError', () => {})
  return interceptedWorld(server, { policy, upstreamCas: [authority.pem] })
}

/** A server that sends bytes when it has got the preface, and then each time that it gets something; reads no more afterwards. */
export const rawServer = (answers: Buffer[]): Promise<InterceptedWorld> =>
  tlsServer((socket) => {
    const left = [...answers]
    socket.on('data', () => {
      const next = left.shift()
      if (next && next.length > 0) socket.write(next)
      else if (!next) socket.pause()
      if (left.length === 0 ? next?.length === 0 : left[0]!.length === 0) socket.end()
    })
  })

/** A server whose bytes are up to the test. */
export async function tlsServer(onConnection: (socket: TLSSocket) => void): Promise<InterceptedWorld> {
  const authority = await newTestAuthority()
  const leaf = await authority.leafFor(NAME)
  const server = createServer({ ...leaf, ALPNProtocols: ['h2'] }, (socket) => {
    socket.on('error', () => {})
    onConnection(socket)
  })
  server.on('tlsClientError', () => {})
  return interceptedWorld(server, { policy, upstreamCas: [authority.pem] })
}

export interface Received {
  type: number
  flags: number
  stream: number
  payload: Buffer
}

/** Sends bytes as a client, and returns all frames until the connection ends. */
export async function exchangeRaw(world: InterceptedWorld, bytes: Buffer): Promise<Received[]> {
  const socket: TLSSocket = await world.connect({ ALPNProtocols: ['h2'] })
  socket.write(bytes)
  return framesOf(await buffer(socket))
}

export function framesOf(all: Buffer): Received[] {
  const frames: Received[] = []
  for (let at = 0; at + 9 <= all.length; ) {
    const length = all.readUIntBE(at, 3)
    const stream = all.readUInt32BE(at + 5)
    frames.push({
      ...{ type: all[at + 3]!, flags: all[at + 4]!, stream },
      payload: all.subarray(at + 9, at + 9 + length),
    })
    at += 9 + length
  }
  return frames
}

/** Waits until a number does not grow any more. */
export async function settled(read: () => number): Promise<void> {
  for (let last = -1; last !== read() || last === 0; ) {
    last = read()
    await setTimeout(300)
  }
}

export const codeOf = (frames: Received[]): number | undefined =>
  frames.find(({ type }) => type === FrameType.GOAWAY)?.payload.readUInt32BE(4)
