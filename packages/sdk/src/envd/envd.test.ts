import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { ConnectionConfig } from '../connection-config.ts'
import { Envd } from './envd.ts'

test('a redirect is not followed, as a sandbox could lead its client into the network of the client', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url!)
    response.writeHead(307, { location: '/elsewhere' }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const envd = new Envd(new ConnectionConfig({ apiKey: 'e2b_none' }), {
    url,
    sandboxId: 'i1',
    version: '0.5.0',
  })
  await expect(envd.fetch('/files')).rejects.toThrow('fetch failed')
  expect(asked).toEqual(['/files'])
})
