import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { SocketReader } from './socket-reader.ts'

async function pair(): Promise<[Socket, Socket]> {
  const server = createServer({ pauseOnConnect: true })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [far] = (await once(server, 'connection')) as [Socket]
  onTestFinished(() => {
    for (const socket of [near, far]) socket.destroy()
    server.close()
  })
  return [near, far]
}

// An upgrade of Node must not take the buffer away unnoticed.
it('reads into a buffer of its own', async () => {
  const [, far] = await pair()
  expect(new SocketReader(far, () => {}, { passedBytes: 0, sentBytes: 0 }).start()).toBe(true)
})

it('leaves bytes as they are until they have been sent', async () => {
  const [near, far] = await pair()
  const progress = { passedBytes: 0, sentBytes: 0 }
  const kept: Buffer[] = []
  let received = 0
  const total = 3_000_000
  const done = Promise.withResolvers<void>()
  new SocketReader(
    far,
    (bytes) => {
      progress.passedBytes += bytes.length
      kept.push(bytes)
      // what is kept, at most 100 pieces, must not change
      while (kept.length > 100) received = check(kept.shift()!, received, progress)
      if (progress.passedBytes === total) done.resolve()
    },
    progress,
  ).start()
  near.write(Buffer.from(Uint8Array.from({ length: total }, (_, i) => i % 251)))
  await done.promise
  for (const bytes of kept) received = check(bytes, received, progress)
  expect(received).toBe(total)
})

function check(bytes: Buffer, at: number, progress: { sentBytes: number }): number {
  const expected = Buffer.from(Uint8Array.from({ length: bytes.length }, (_, i) => (at + i) % 251))
  expect(bytes.equals(expected)).toBe(true)
  progress.sentBytes = at + bytes.length
  return progress.sentBytes
}
