import { afterAll, beforeAll, expect, it } from 'vitest'
import { ask, sendRaw } from './test-support/raw-request.ts'
import { echo, newAddress, startEdge, startServer } from './test-support/sandbox-world.ts'

const ADDRESS = newAddress()
let world: Awaited<ReturnType<typeof startEdge>>
let app: Awaited<ReturnType<typeof startServer>>

beforeAll(async () => {
  world = await startEdge()
  app = await startServer(ADDRESS, echo)
  world.directory.add({ sandboxId: 'iapp', address: ADDRESS })
})
afterAll(async () => {
  await world.close()
  app.close()
})

const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\n'
const sandbox = () => `${app.port}-iapp.sandlot.localhost`

it.each([
  ['to the API', 'Host: localhost\r\n', () => 'localhost'],
  ['to a sandbox', 'Host: localhost\r\n', sandbox],
  ['to a host that does not exist', 'Host: localhost\r\n', () => '80-inone.sandlot.localhost'],
  ['after a refused expectation', 'Host: localhost\r\nExpect: more\r\n', () => 'localhost'],
  ['after a request without a host', '', () => 'localhost'],
])(
  'an upgrade %s that arrives before an earlier request was answered does not affect other connections',
  async (_, first, host) => {
    await sendRaw(
      world.port,
      `GET / HTTP/1.1\r\n${first}\r\nGET / HTTP/1.1\r\nHost: ${host()}\r\n${UPGRADE}\r\n`,
    )
    expect((await ask(world.port, { headers: { host: 'localhost' } })).body).toBe('the API')
  },
)
