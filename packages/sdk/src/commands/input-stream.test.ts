import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fromBinary } from '@bufbuild/protobuf'
import { afterEach, expect, it } from 'vitest'
import { ConnectionConfig } from '../connection-config.ts'
import { Envd } from '../envd/envd.ts'
import { NotFoundError, TimeoutError } from '../errors.ts'
import { type StreamInputRequest, StreamInputRequestSchema } from '../gen/process/process_pb.js'
import { streamInput } from './input-stream.ts'

let server: Server | undefined
afterEach(() => {
  server?.closeAllConnections()
  server?.close()
})

/** Starts a server that answers the only request. @returns a client, and the body once it has arrived */
async function serve(status: number, answer: Buffer | string) {
  let body!: (bytes: Buffer) => void
  const received = new Promise<Buffer>((resolve) => (body = resolve))
  server = createServer(async (request, response) => {
    body(Buffer.concat(await request.toArray()))
    response.writeHead(status).end(answer)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const config = new ConnectionConfig({ apiKey: `e2b_${'0'.repeat(40)}` })
  return { envd: new Envd(config, { url, sandboxId: 'iabc', version: '0.6.4' }), received }
}

const frame = (flags: number, data: string): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt8(flags)
  head.writeUInt32BE(data.length, 1)
  return Buffer.concat([head, Buffer.from(data)])
}

function messagesOf(body: Buffer): StreamInputRequest['event'][] {
  const messages: StreamInputRequest['event'][] = []
  for (let at = 0; at < body.length; ) {
    const end = at + 5 + body.readUInt32BE(at + 1)
    messages.push(fromBinary(StreamInputRequestSchema, body.subarray(at + 5, end)).event)
    at = end
  }
  return messages
}

async function* pieces(...texts: string[]) {
  for (const text of texts) yield Buffer.from(text)
}

it('selects the process, then sends each piece in order', async () => {
  const { envd, received } = await serve(200, Buffer.concat([frame(0, ''), frame(2, '{}')]))
  await streamInput(envd, 12, pieces('one', 'two'))
  const [start, ...data] = messagesOf(await received)
  expect(start).toMatchObject({ case: 'start', value: { process: { selector: { value: 12 } } } })
  expect(
    data.map((event) => event.case === 'data' && Buffer.from(event.value.input!.input.value!).toString()),
  ).toEqual(['one', 'two'])
})

it.each([
  [200, frame(2, '{"error":{"code":"not_found","message":"no process"}}'), NotFoundError],
  [502, '{"message":"no sandbox"}', TimeoutError],
])('answer %i with an error rejects', async (status, answer, kind) => {
  const { envd } = await serve(status, answer)
  await expect(streamInput(envd, 12, pieces('one'))).rejects.toThrow(kind)
})
