import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { expect, it } from 'vitest'
import { listen } from '../test-support/http-world.ts'
import { KeptConnections } from './kept-connections.ts'
import { ServerConnection } from './server-connection.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

it('a connection that is kept many times gathers no listeners', async () => {
  const socket = connect(await listen(createServer((server) => server.on('data', () => server.write(OK)))))
  await once(socket, 'connect')
  const connection = new ServerConnection(socket)
  const kept = new KeptConnections()
  const counts = new Set<number>()
  for (let i = 0; i < 20; i++) {
    await new Promise<void>((resolve, reject) => {
      const body = { data: () => {}, frame: () => {}, end: () => resolve() }
      const unexpected = () => reject(new Error('the answer is no ordinary one'))
      connection.expect('GET', false, {
        ...{ interim: unexpected, drained: unexpected, failed: reject, head: () => body },
        switched: () => unexpected,
      })
      socket.write('GET / HTTP/1.1\r\n\r\n')
    })
    kept.put(connection)
    counts.add(socket.listenerCount('close'))
    expect(kept.take()).toBe(connection)
  }
  expect(counts.size).toBe(1)
  kept.put(connection)
  connection.destroy()
  await once(socket, 'close')
  expect(kept.take()).toBeUndefined()
})
