import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { E2B } from './client.ts'
import { Sandbox } from './sandbox/sandbox.ts'

let server: Server
let apiUrl: string
let asked: { url?: string; headers: IncomingHttpHeaders }[]

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume()
    asked.push({ url: request.url, headers: request.headers })
    const created = { sandboxID: 'iabc', templateID: 't', clientID: 'c', envdVersion: '0.6.13' }
    const status = request.method === 'DELETE' ? 204 : request.method === 'POST' ? 201 : 200
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(status === 204 ? undefined : JSON.stringify(status === 201 ? created : []))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  apiUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => void (asked = []))
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const keys = () => asked.map(({ headers }) => headers['x-api-key'])

test('each client uses its own options, also for requests of the sandboxes that it created', async () => {
  const first = new E2B({ apiKey: 'e2b_1', apiUrl, domain: 'first.example' })
  const second = new E2B({ apiKey: 'e2b_2', apiUrl, domain: 'second.example' })
  const sandbox = await first.Sandbox.create()
  await second.Sandbox.list().nextItems()
  await sandbox.kill()
  await second.Volume.list()
  await first.Secret.list().nextItems()
  await second.Template.exists('name')
  expect(keys()).toEqual(['e2b_1', 'e2b_2', 'e2b_1', 'e2b_2', 'e2b_1', 'e2b_2'])
  expect(sandbox.getHost(80)).toBe('80-iabc.first.example')
})

test('options of a call override those of the client, unless they are undefined', async () => {
  const client = new E2B({ apiKey: 'e2b_1', apiUrl })
  await client.Sandbox.kill('iabc', { apiKey: 'e2b_2' })
  await client.Sandbox.kill('iabc', { apiKey: undefined })
  expect(keys()).toEqual(['e2b_2', 'e2b_1'])
})

test('a change of the options object after construction has no effect', async () => {
  const opts = { apiKey: 'e2b_1', apiUrl }
  const client = new E2B(opts)
  opts.apiKey = 'e2b_2'
  await client.Sandbox.kill('iabc')
  expect(keys()).toEqual(['e2b_1'])
})

test('a client returns instances of Sandbox, and its template builder works', async () => {
  const client = new E2B({ apiKey: 'e2b_1', apiUrl })
  expect(await client.Sandbox.connect('iabc')).toBeInstanceOf(Sandbox)
  expect(client.Sandbox.name).toBe('Sandbox')
  expect(client.Template().fromPythonImage('3')).toHaveProperty('runCmd')
})
