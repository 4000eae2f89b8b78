import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { Sandbox } from 'e2b-official'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { sandboxUrlOf } from '../server.ts'
import { BUILD_TIMEOUT_MS, waitForTemplate } from './ready.ts'

/** Three servers start within seconds, or a minute on a busy machine. */
const CREATE_TIMEOUT_MS = 180_000

let sandbox: Sandbox
const clients: Client[] = []

beforeAll(async () => {
  await waitForTemplate('mcp-gateway')
  sandbox = await Sandbox.create({
    timeoutMs: 600_000,
    mcp: { filesystem: { paths: ['/home/user'] }, memory: {}, time: {} },
  })
}, BUILD_TIMEOUT_MS + CREATE_TIMEOUT_MS)

afterAll(async () => {
  await Promise.allSettled(clients.map((client) => client.close()))
  await sandbox?.kill()
})

/** Connects from outside the sandbox, as `getMcpUrl()` is for; by the test's own address of that host. */
async function connect(token: string, of = sandbox): Promise<Client> {
  expect(of.getMcpUrl()).toBe(`https://${of.getHost(50005)}/mcp`)
  const client = new Client({ name: 'test', version: '1' })
  const headers = {
    authorization: `Bearer ${token}`,
    'e2b-sandbox-id': of.sandboxId,
    'e2b-sandbox-port': '50005',
  }
  const url = new URL(`${sandboxUrlOf(inject('server').domain)}/mcp`)
  await client.connect(new StreamableHTTPClientTransport(url, { requestInit: { headers } }))
  clients.push(client)
  return client
}

const textOf = (result: unknown) => (result as { content: Array<{ text: string }> }).content[0]!.text

test('each server lists its tools and answers a call', async () => {
  const client = await connect((await sandbox.getMcpToken())!)
  const names = async () => (await client.listTools()).tools.map(({ name }) => name)
  // a create waits for servers for 50 seconds, in which a busy machine may not start all
  await expect
    .poll(names, { timeout: 60_000 })
    .toEqual(expect.arrayContaining(['write_file', 'create_entities', 'get_current_time']))
  await client.callTool({ name: 'write_file', arguments: { path: '/home/user/a.txt', content: 'by MCP' } })
  expect(await sandbox.files.read('/home/user/a.txt')).toBe('by MCP')
  expect((await sandbox.commands.run('stat -c %U /home/user/a.txt')).stdout.trim()).toBe('user')
  expect((await client.callTool({ name: 'list_allowed_directories', arguments: {} })).isError).toBeFalsy()
  const entity = { name: 'Ada', entityType: 'person', observations: ['writes'] }
  await client.callTool({ name: 'create_entities', arguments: { entities: [entity] } })
  expect(textOf(await client.callTool({ name: 'read_graph', arguments: {} }))).toContain('Ada')
  const time = await client.callTool({ name: 'get_current_time', arguments: { timezone: 'Europe/Berlin' } })
  expect(textOf(time)).toContain('Europe/Berlin')
})

test('the token is the one of the SDK, and root alone may read its file', async () => {
  const again = await Sandbox.connect(sandbox.sandboxId)
  expect(await again.getMcpToken()).toBe(await sandbox.getMcpToken())
  await expect(sandbox.commands.run('cat /etc/mcp-gateway/.token')).rejects.toThrow('exit status 1')
})

test('sessions go on after a pause', async () => {
  const client = await connect((await sandbox.getMcpToken())!)
  await sandbox.pause()
  sandbox = await Sandbox.connect(sandbox.sandboxId, { timeoutMs: 600_000 })
  expect(textOf(await client.callTool({ name: 'read_graph', arguments: {} }))).toContain('Ada')
})

test('a fork has the token of its source, until it gets one of its own', async () => {
  const token = await sandbox.getMcpToken()
  const [fork] = (await sandbox.fork()) as [Sandbox]
  try {
    const forked = await Sandbox.connect(fork.sandboxId)
    expect(await forked.getMcpToken()).toBe(token)
    const { stdout } = await forked.commands.run('mcp-gateway token rotate', { user: 'root' })
    expect(stdout.trim()).not.toBe(token)
    expect(await (await Sandbox.connect(fork.sandboxId)).getMcpToken()).toBe(stdout.trim())
    expect(await (await Sandbox.connect(sandbox.sandboxId)).getMcpToken()).toBe(token)
  } finally {
    await fork.kill()
  }
})

test('an unknown server fails the creation, with the reason', async () => {
  const mcp = { filesytem: { paths: ['/home/user'] } } as never
  await expect(Sandbox.create({ mcp })).rejects.toThrow("there is no MCP server 'filesytem'")
})

test('token rotate makes the old token useless', async () => {
  const old = (await sandbox.getMcpToken())!
  const { stdout } = await sandbox.commands.run('mcp-gateway token rotate', { user: 'root' })
  await expect(connect(old)).rejects.toThrow()
  const client = await connect(stdout.trim())
  expect((await client.listTools()).tools.length).toBeGreaterThan(10)
})
