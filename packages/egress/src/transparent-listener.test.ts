import type { Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PrivateNetwork, SANDBOX } from './test-support/private-network.ts'
import { listenTransparently, type TransparentListener } from './transparent-listener.ts'

let network: PrivateNetwork
let listener: TransparentListener
let next: (socket: Socket) => void
beforeAll(async () => {
  network = new PrivateNetwork()
  listener = await listenTransparently((socket) => next(socket))
  network.sendTcpTo(listener.port)
})
afterAll(async () => {
  await listener?.close()
  network?.close()
})

test('an accepted socket tells where the sandbox connected to, and no early byte is lost', async () => {
  const accepted = new Promise<Socket>((resolve) => (next = resolve))
  const client = await network.connect('93.184.216.34', 4_321)
  client.end('first bytes')
  const socket = await accepted
  const { remoteAddress, localAddress, localPort } = socket
  expect({ remoteAddress, localAddress, localPort }).toEqual({
    ...{ remoteAddress: SANDBOX, localAddress: '93.184.216.34', localPort: 4_321 },
  })
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(socket.bytesRead).toBe(0)
  expect(Buffer.concat(await socket.toArray()).toString()).toBe('first bytes')
  socket.end('answer')
  expect(Buffer.concat(await client.toArray()).toString()).toBe('answer')
})

test('a reset reaches the sandbox', async () => {
  const accepted = new Promise<Socket>((resolve) => (next = resolve))
  const client = await network.connect('93.184.216.34', 443)
  const error = new Promise<NodeJS.ErrnoException>((resolve) => client.once('error', resolve))
  ;(await accepted).resetAndDestroy()
  expect((await error).code).toBe('ECONNRESET')
})
