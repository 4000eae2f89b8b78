import { type IncomingHttpHeaders, type RequestOptions, request } from 'node:http'
import { connect } from 'node:net'
import { textOf } from './sandbox-world.ts'

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  rawHeaders: string[]
  trailers: NodeJS.Dict<string>
  body: string
}

/** Sends one HTTP/1.1 request on a connection of its own. */
export function ask(port: number, options: RequestOptions & { body?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, agent: false, ...options }, async (message) => {
      try {
        const body = await textOf(message)
        const { headers, rawHeaders, trailers } = message
        resolve({ status: message.statusCode ?? 0, headers, rawHeaders, trailers, body })
      } catch (error) {
        reject(error)
      }
    })
    sent.once('error', reject)
    sent.end(options.body)
  })
}

/** Sends raw bytes and reads until the other side ends the connection. */
export function sendRaw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    textOf(socket).then(resolve, reject)
  })
}
