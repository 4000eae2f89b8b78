import { connect, createServer, type Socket } from 'node:net'
import type { NetworkPolicy } from '@sandlot/protocol/node'
import { onTestFinished } from 'vitest'
import { createHttpGate } from '../http/gate.ts'
import { type HttpWorld, type HttpWorldOptions, httpWorld, listen } from './http-world.ts'

/** Puts a gate for HTTP between the test and servers. */
export async function gateTo(
  upstreamPort: HttpWorldOptions['upstreamPort'],
  policy: Partial<NetworkPolicy> = {},
  idleTimeoutMs?: number,
): Promise<HttpWorld> {
  let served: ReturnType<typeof createHttpGate> | undefined
  const world = await httpWorld({ policy, upstreamPort, destinationPort: 80 }, (_, connection, head) =>
    served!.serve(connection, head),
  )
  served = createHttpGate(world.context, idleTimeoutMs === undefined ? {} : { idleTimeoutMs })
  const { close } = served
  onTestFinished(() => close())
  return world
}

/** A server that answers with bytes, and tells what it was sent. */
export interface RawServer {
  port: number
  /** Everything that each connection has brought. */
  received: string[]
  /** Resolves with what the first connection brought when it has ended. */
  firstClosed: Promise<string>
}

/** @param answer gets everything that a connection has brought, each time more has come */
export async function rawServer(answer: (received: string, socket: Socket) => void): Promise<RawServer> {
  const received: string[] = []
  const firstClosed = Promise.withResolvers<string>()
  const port = await listen(
    createServer((socket) => {
      const index = received.push('') - 1
      socket.on('data', (bytes) => {
        received[index] += bytes.toString('latin1')
        answer(received[index]!, socket)
      })
      socket.once('close', () => firstClosed.resolve(received[index]!))
    }),
  )
  return { port, received, firstClosed: firstClosed.promise }
}

/** A client that sends and reads bytes. */
export class RawClient {
  readonly socket: Socket
  /** Everything that it got, when the connection has ended. */
  readonly whole: Promise<string>
  #received = ''

  constructor({ port }: HttpWorld) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('error', () => {})
    this.socket.on('data', (bytes) => {
      this.#received += bytes.toString('latin1')
    })
    this.whole = new Promise((resolve) => this.socket.once('close', () => resolve(this.#received)))
    onTestFinished(() => void this.socket.destroy())
  }

  send(bytes: string): this {
    this.socket.write(bytes, 'latin1')
    return this
  }

  /** Resolves with everything that came when it contains a text. */
  async seen(part: string): Promise<string> {
    while (!this.#received.includes(part)) await new Promise((resolve) => this.socket.once('data', resolve))
    return this.#received
  }
}

/** Sends bytes and reads until the other side ends the connection. */
export const sendRaw = (world: HttpWorld, bytes: string): Promise<string> =>
  new RawClient(world).send(bytes).whole
