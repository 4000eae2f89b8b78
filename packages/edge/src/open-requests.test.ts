import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, test } from 'vitest'
import { OpenRequests } from './open-requests.ts'

test('a reader that gives a body up, as on a full disk, gets its answer out and breaks nothing', async () => {
  const requests = new OpenRequests({ longMs: 10_000, shortMs: 10_000 })
  const server = createServer((request, response) => {
    requests.add(request, response)
    request.once('data', () => {
      // as Node leaves a request behind whose body a pipeline gave up
      request.socket = null as never
      response.writeHead(507).end('full')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  client.write('PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nhalf')
  const [answer] = await once(client, 'data')
  expect(String(answer)).toContain('HTTP/1.1 507')
  client.destroy()
  server.close()
  await once(server, 'close')
})
