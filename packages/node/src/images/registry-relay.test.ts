import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isAllowedRegistry } from './allowed-registries.ts'
import { RegistryRelay } from './registry-relay.ts'

/** The machine that accepts connections of the host, and a registry that greets every connection. */
let machine: Server
let registry: Server
let relay: RegistryRelay
let taken: Socket[]
let greeted: number
const listen = async (server: Server): Promise<number> => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
const portOf = (server: Server) => (server.address() as AddressInfo).port

beforeEach(async () => {
  taken = []
  greeted = 0
  machine = createServer((socket) => void taken.push(socket.on('error', () => {})))
  registry = createServer((socket) => {
    greeted++
    socket.on('error', () => {})
    socket.once('data', (asked) => socket.end(`hello ${asked}`))
  })
  const port = await listen(machine)
  await listen(registry)
  const allowedRegistries = [`127.0.0.1:${portOf(registry)}`]
  relay = new RegistryRelay({ address: '127.0.0.1', port, allowedRegistries })
})
afterEach(() => {
  relay.close()
  for (const server of [machine, registry]) server.close()
  for (const socket of taken) socket.destroy()
})

async function next(): Promise<Socket> {
  while (taken.length === 0) await once(machine, 'connection')
  return taken.shift()!
}
async function saidOf(socket: Socket): Promise<string> {
  let said = ''
  for await (const chunk of socket) said += chunk
  return said
}

test('a connection that names an allowed registry is relayed there, while others stay ready', async () => {
  for (let i = 0; i < 12; i++) {
    const socket = await next()
    socket.write(`127.0.0.1:${portOf(registry)}\n`)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toBe('+')
    socket.write('x')
    expect(await saidOf(socket)).toBe('hello x')
  }
})

test.each(['localhost', '127.0.0.2', '0.0.0.0', '127.0.0.1.', '2130706433'])(
  'the registry written as %s is not in the list',
  async (host) => {
    const socket = await next()
    socket.write(`${host}:${portOf(registry)}\n`)
    expect(await saidOf(socket)).toBe('!')
    expect(greeted).toBe(0)
  },
)

test.each(['127.0.0.1:80\n', '127.0.0.1:99999\n'])('%j is refused', async (line) => {
  const socket = await next()
  socket.write(line)
  expect(await saidOf(socket)).toBe('!')
})

test.each(['GET / HTTP/1.1\r\n', 'a:1\nmore', 'x'.repeat(10_000), '\n'])(
  '%.20j ends the connection',
  async (line) => {
    const socket = await next()
    socket.write(line)
    expect(await saidOf(socket)).toBe('')
    expect(greeted).toBe(0)
  },
)

test('an unreachable registry is reported', async () => {
  const address = `127.0.0.1:${portOf(registry)}`
  registry.close()
  await once(registry, 'close')
  const socket = await next()
  socket.write(`${address}\n`)
  expect(await saidOf(socket)).toBe('-')
})

test('an entry without a port stands for 443 and 80, an entry with a port only for that port', () => {
  const allowed = ['registry.lan', 'localhost:5000']
  const found = ['registry.lan:443', 'REGISTRY.lan:80', 'localhost:5000']
  const not = ['registry.lan:5000', 'localhost:443', 'localhost:50', 'x.registry.lan:443', 'lan:443']
  expect(found.every((address) => isAllowedRegistry(address, allowed))).toBe(true)
  expect(not.some((address) => isAllowedRegistry(address, allowed))).toBe(false)
})
