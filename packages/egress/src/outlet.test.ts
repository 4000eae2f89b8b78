import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { Outlet } from './outlet.ts'
import { newProgress } from './socket-reader.ts'
import { listen } from './test-support/http-world.ts'

/** A connection to a server that reads what it gets. */
async function connection(): Promise<{ socket: Socket; whole: Promise<string> }> {
  const whole = Promise.withResolvers<string>()
  const server = createServer((accepted) => {
    let text = ''
    accepted.on('data', (bytes) => {
      text += bytes.toString('latin1')
    })
    accepted.on('end', () => whole.resolve(text))
  })
  const socket = connect(await listen(server), '127.0.0.1')
  await once(socket, 'connect')
  return { socket, whole: whole.promise }
}

it('joins tiny pieces, each of which would take more memory than its bytes', async () => {
  const { socket, whole } = await connection()
  const lengths: number[] = []
  const write = socket.write.bind(socket)
  socket.write = ((bytes: Buffer, ...rest: never[]) => {
    lengths.push(bytes.length)
    return write(bytes, ...rest)
  }) as Socket['write']
  const outlet = new Outlet(socket, newProgress())
  for (let i = 0; i < 10_000; i++) outlet.pass(Buffer.from(`${i % 10}`))
  await new Promise<void>((resolve) => outlet.finish(resolve))
  socket.end()
  expect(await whole).toBe('0123456789'.repeat(1_000))
  expect(lengths.length).toBeLessThan(100)
})
