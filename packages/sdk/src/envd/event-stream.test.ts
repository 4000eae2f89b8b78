import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Commands } from '../commands/commands.ts'
import { ConnectionConfig } from '../connection-config.ts'
import { SandboxError, SandboxNotFoundError, TimeoutError } from '../errors.ts'
import { Envd } from './envd.ts'

let server: Server
let commands: Commands
/** What the server does after the start event of a command. */
let afterStart: (response: ServerResponse) => void
let health: number

const frame = (message: unknown, flags = 0): Buffer => {
  const json = Buffer.from(JSON.stringify(message))
  const head = Buffer.alloc(5)
  head[0] = flags
  head.writeUInt32BE(json.length, 1)
  return Buffer.concat([head, json])
}
const stdout = (text: string) => frame({ event: { data: { stdout: Buffer.from(text).toString('base64') } } })
const end = Buffer.concat([frame({ event: { end: { exitCode: 0, exited: true } } }), frame({}, 2)])

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume()
    if (request.url === '/health') return void response.writeHead(health).end()
    if (!request.url?.endsWith('/Start')) return void response.end('{}')
    response.writeHead(200, { 'content-type': 'application/connect+json' })
    response.write(frame({ event: { start: { pid: 7 } } }))
    afterStart(response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const config = new ConnectionConfig({ apiKey: 'e2b_0', apiUrl: url })
  commands = new Commands(new Envd(config, { url, sandboxId: 'iabc', version: '0.6.13' }), config)
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const cut = (response: ServerResponse) => setTimeout(() => response.socket?.destroy(), 20)

test('a stream that breaks because the sandbox was killed is a TimeoutError that says so', async () => {
  afterStart = cut
  health = 502
  const error = await commands.run('x').catch((thrown: Error) => thrown)
  expect(error).toBeInstanceOf(TimeoutError)
  expect(error).toHaveProperty(
    'message',
    expect.stringContaining(
      'The sandbox was killed or reached its end of life while the request was in flight.',
    ),
  )
})

test.each([204, 500])(
  'a stream that breaks while the health check answers %i is not reported as end of life',
  async (status) => {
    afterStart = cut
    health = status
    const error = await commands.run('x').catch((thrown: Error) => thrown)
    expect(error).toBeInstanceOf(SandboxError)
    expect(error).not.toBeInstanceOf(TimeoutError)
  },
)

test('a refused connection fails at once, and is not reported as a missing sandbox', async () => {
  const config = new ConnectionConfig({ apiKey: 'e2b_0', apiUrl: 'http://127.0.0.1:1' })
  const nobody = new Envd(config, { url: 'http://127.0.0.1:1', sandboxId: 'iabc', version: '0.6.13' })
  const error = await new Commands(nobody, config).run('x').catch((thrown: Error) => thrown)
  expect(error).toBeInstanceOf(SandboxError)
  expect(error).not.toBeInstanceOf(SandboxNotFoundError)
})

test('disconnecting ends the stream and the callbacks, while the process keeps running', async () => {
  const closed = Promise.withResolvers<void>()
  afterStart = (response) => {
    const timer = setInterval(() => response.write(stdout('x')), 5)
    response.on('close', () => {
      clearInterval(timer)
      closed.resolve()
    })
  }
  let pieces = 0
  const handle = await commands.run('x', { background: true, onStdout: () => void pieces++ })
  while (pieces < 3) await new Promise((resolve) => setTimeout(resolve, 5))
  await handle.disconnect()
  const heard = pieces
  await closed.promise
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(pieces).toBe(heard)
  await expect(handle.wait()).rejects.toThrow('Process exited without a result')
})

test('a callback that throws ends the stream, and waiting rejects with its error', async () => {
  const closed = Promise.withResolvers<void>()
  afterStart = (response) => {
    response.on('close', closed.resolve)
    response.write(stdout('x'))
  }
  const run = commands.run('x', {
    onStdout: () => {
      throw new Error('mine')
    },
  })
  await expect(run).rejects.toThrow('mine')
  await closed.promise
})

test('a slow callback gets the pieces in order, one after the other', async () => {
  afterStart = (response) => {
    for (const text of ['a', 'b', 'c']) response.write(stdout(text))
    response.end(end)
  }
  const log: string[] = []
  await commands.run('x', {
    onStdout: async (text) => {
      log.push(`begin ${text}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
      log.push(`end ${text}`)
    },
  })
  expect(log).toEqual(['begin a', 'end a', 'begin b', 'end b', 'begin c', 'end c'])
})

test('a signal ends a running command', async () => {
  afterStart = () => {}
  const controller = new AbortController()
  const run = commands.run('x', { signal: controller.signal, timeoutMs: 0 })
  setTimeout(() => controller.abort(), 30)
  await expect(run).rejects.toBeInstanceOf(TimeoutError)
})
