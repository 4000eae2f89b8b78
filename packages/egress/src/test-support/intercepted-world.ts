import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import type { NetworkPolicy } from '@sandlot/protocol/node'
import { onTestFinished } from 'vitest'
import { type EgressAuthority, openEgressAuthority } from '../intercept/authority.ts'
import { createInterceptor } from '../intercept/interceptor.ts'
import { type HttpWorld, type HttpWorldOptions, httpWorld, listen } from './http-world.ts'

export interface InterceptedWorld extends HttpWorld {
  authority: EgressAuthority
  name: string
  /** Opens a TLS connection as a sandbox that trusts the authority. */
  connect(options?: ConnectionOptions): Promise<TLSSocket>
  /** Opens a session in HTTP/2. */
  session(): Promise<ClientHttp2Session>
}

export interface InterceptedOptions {
  policy: Partial<NetworkPolicy>
  upstreamCas?: string[]
  name?: string
  idleTimeoutMs?: number
}

/** Puts an interceptor between the test and a server of TLS. */
export async function interceptedWorld(
  server: Server | HttpWorldOptions['upstreamPort'],
  { policy, upstreamCas = [], name = 'api.example.com', idleTimeoutMs }: InterceptedOptions,
): Promise<InterceptedWorld> {
  const upstreamPort = typeof server === 'object' ? await listen(server) : server
  const directory = await mkdtemp(join(tmpdir(), 'sandlot-egress-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const authority = await openEgressAuthority(directory)
  let interceptor: Awaited<ReturnType<typeof createInterceptor>> | undefined
  const world = await httpWorld(
    { policy, upstreamPort, upstreamCas, destinationPort: 443 },
    (_, connection, head) => interceptor!.serve(connection, name, head),
  )
  interceptor = await createInterceptor(world.context, authority, { idleTimeoutMs })
  const { close } = interceptor
  onTestFinished(() => close.call(interceptor))
  const connect = async (options: ConnectionOptions = {}): Promise<TLSSocket> => {
    const all = {
      host: '127.0.0.1',
      port: world.port,
      servername: name,
      ca: authority.caBundle(),
      ...options,
    }
    const socket = connectTls(all)
    socket.on('error', () => {})
    onTestFinished(() => void socket.destroy())
    await once(socket, 'secureConnect')
    return socket
  }
  const session = async () => {
    const socket = await connect({ ALPNProtocols: ['h2'] })
    const opened = connectHttp2(`https://${name}`, { createConnection: () => socket })
    opened.on('error', () => {})
    onTestFinished(() => opened.destroy())
    return opened
  }
  return Object.assign(world, { authority, name, connect, session })
}

export interface Http2Answer {
  headers: IncomingHttpHeaders & { ':status'?: number }
  trailers: IncomingHttpHeaders
  body: string
}

/** Sends one request in HTTP/2 and reads the answer. Rejects when the stream is reset. */
export async function askHttp2(
  session: ClientHttp2Session,
  headers: Record<string, string | string[]>,
  body?: string,
  trailers?: Record<string, string>,
): Promise<Http2Answer> {
  const stream = session.request(headers, {
    endStream: body === undefined,
    waitForTrailers: trailers !== undefined,
  })
  let received: IncomingHttpHeaders = {}
  stream.on('trailers', (found) => {
    received = found
  })
  if (trailers) stream.on('wantTrailers', () => stream.sendTrailers(trailers))
  if (body !== undefined) stream.end(body)
  const [head] = await once(stream, 'response')
  const whole = await text(stream)
  if (stream.rstCode) throw new Error(`the stream was reset with code ${stream.rstCode}`)
  return { headers: head, trailers: received, body: whole }
}

/** Sends raw bytes over TLS and reads until the other side ends the connection. */
export async function sendOverTls(
  world: InterceptedWorld,
  bytes: string,
  options?: ConnectionOptions,
): Promise<string> {
  const socket = await world.connect(options)
  const answer = text(socket)
  socket.write(bytes, 'latin1')
  return answer
}
