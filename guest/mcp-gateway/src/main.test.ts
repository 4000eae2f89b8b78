import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { daemonPid } from './daemon.ts'
import { placesOf } from './places.ts'
import { connectClient, textOf } from './test-support/gateway-under-test.ts'

let root: string
let port: number

/** A port that was free a moment ago. */
const freePort = () =>
  new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'mcp-gateway-command-'))
  port = await freePort()
})
afterEach(async () => {
  const places = placesOf({ MCP_GATEWAY_ROOT: root })
  const pid = daemonPid(places)
  if (pid !== undefined) process.kill(pid, 'SIGTERM')
  await expect.poll(() => daemonPid(places)).toBeUndefined()
  rmSync(root, { recursive: true, force: true })
})

const gateway = (args: string[], env: Record<string, string> = {}) =>
  new Promise<{ code: number; stdout: string; stderr: string }>((resolve) => {
    const environment = { ...process.env, MCP_GATEWAY_ROOT: root, MCP_GATEWAY_PORT: String(port), ...env }
    const main = fileURLToPath(new URL('main.ts', import.meta.url))
    execFile(
      process.execPath,
      [main, ...args],
      { env: environment, timeout: 60_000 },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
    )
  })

const require = createRequire(import.meta.url)
const entryPoint = (name: string) =>
  join(dirname(require.resolve(`@modelcontextprotocol/${name}/package.json`)), 'dist/index.js')

/** The real servers of these names, from this repository's packages instead of an installation. */
async function mapServers(): Promise<void> {
  await gateway(['map', 'memory', '--', process.execPath, entryPoint('server-memory')])
  await gateway(['map', 'filesystem', '--', process.execPath, entryPoint('server-filesystem'), '{paths}'])
}

test('starts in the background, and serves real servers with the token that it was given', async () => {
  await mapServers()
  mkdirSync(join(root, 'data'), { mode: 0o777 })
  const config = JSON.stringify({ memory: {}, filesystem: { paths: [join(root, 'data')] } })
  const { code, stderr } = await gateway(['--config', config], {
    GATEWAY_ACCESS_TOKEN: 'the-token-of-the-test',
  })
  expect([code, stderr]).toEqual([0, ''])
  const file = join(root, 'etc/mcp-gateway/.token')
  expect(readFileSync(file, 'utf8')).toBe('the-token-of-the-test')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const client = await connectClient(`http://127.0.0.1:${port}`)
  const entity = { name: 'Ada', entityType: 'person', observations: ['writes'] }
  await client.callTool({ name: 'create_entities', arguments: { entities: [entity] } })
  expect(textOf(await client.callTool({ name: 'read_graph' }))).toContain('Ada')
  expect(textOf(await client.callTool({ name: 'list_allowed_directories' }))).toContain(join(root, 'data'))
  await client.close()
  expect((await gateway(['status'])).stdout).toMatch(
    /memory: ready, tools: 9\nfilesystem: ready, tools: 14\n/,
  )
}, 90_000)

test('starts although one server cannot be, unless it is to be strict or none can be', async () => {
  await mapServers()
  const some = JSON.stringify({ memory: {}, aks: {} })
  const lenient = await gateway(['--config', some])
  expect(lenient.code).toBe(0)
  expect(lenient.stderr).toContain("'aks' exists only as the container image mcp/aks")
  expect((await gateway(['status'])).stdout).toContain('aks: failed, tools: 0')
  const strict = await gateway(['--strict', '--config', some])
  expect([strict.code, strict.stderr]).toEqual([
    1,
    expect.stringContaining('servers could not be started\naks: '),
  ])
  const none = await gateway(['--config', '{"aks":{}}'])
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('no server could be started\naks: ')])
  expect((await gateway(['status'])).stderr).toContain('the gateway does not run')
}, 90_000)

test('takes another configuration in place of the first, and keeps the token unless another is given', async () => {
  await mapServers()
  await gateway(['--config', '{"memory":{}}'], { GATEWAY_ACCESS_TOKEN: 'the-token-of-the-test' })
  const first = daemonPid(placesOf({ MCP_GATEWAY_ROOT: root }))
  expect((await gateway(['--config', JSON.stringify({ filesystem: { paths: [root] } })])).code).toBe(0)
  expect(daemonPid(placesOf({ MCP_GATEWAY_ROOT: root }))).not.toBe(first)
  const client = await connectClient(`http://127.0.0.1:${port}`)
  const names = (await client.listTools()).tools.map(({ name }) => name)
  expect(names).toContain('read_text_file')
  expect(names).not.toContain('read_graph')
  await client.close()
}, 90_000)

test('token rotate ends the sessions of the old token, which is refused from then on', async () => {
  await mapServers()
  await gateway(['--config', '{"memory":{}}'], { GATEWAY_ACCESS_TOKEN: 'the-token-of-the-test' })
  const url = `http://127.0.0.1:${port}`
  const client = await connectClient(url)
  const { stdout } = await gateway(['token', 'rotate'])
  expect(readFileSync(join(root, 'etc/mcp-gateway/.token'), 'utf8')).toBe(stdout.trim())
  await expect(client.listTools()).rejects.toThrow()
  await expect(connectClient(url)).rejects.toThrow()
  const answer = await fetch(`${url}/health`, { headers: { authorization: `Bearer ${stdout.trim()}` } })
  expect(await answer.json()).toMatchObject({ sessions: 0, servers: { memory: { state: 'ready' } } })
}, 90_000)

test('says that its port is taken', async () => {
  await mapServers()
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(port, () => resolve()))
  const { code, stderr } = await gateway(['--config', '{"memory":{}}'])
  taken.close()
  expect([code, stderr]).toEqual([1, expect.stringContaining('EADDRINUSE')])
}, 60_000)

test.each([
  [['--config', '{"exa": {"key": "x"}}'], "'exa' has no option 'key'; it has apiKey"],
  [['--config', 'nonsense'], 'the configuration is not JSON'],
  [['pull'], 'name the servers to install'],
  [['pull', 'exa', 'nobody'], "there is no MCP server 'nobody'"],
  [['pull', 'aks'], "'aks' exists only as the container image"],
  [['map', 'exa'], 'name a server and its command'],
  [['fly'], 'mcp-gateway --config'],
  [['--fly'], 'Unknown option'],
])('refuses %j with a reason', async (args, reason) => {
  const { code, stderr } = await gateway(args)
  expect([code, stderr]).toEqual([1, expect.stringContaining(reason)])
  expect(existsSync(join(root, 'run'))).toBe(false)
})

test('list has a line for each of the 265 servers', async () => {
  const lines = (await gateway(['list'])).stdout.trim().split('\n')
  expect(lines).toHaveLength(265)
  expect(lines).toContain('exa(apiKey*) npm exa-mcp-server 3.4.1')
  expect(lines).toContain('close(apiKey*) at https://mcp.close.com/mcp')
})

test('a file of commands that is damaged is named', async () => {
  mkdirSync(join(root, 'etc/mcp-gateway'), { recursive: true })
  writeFileSync(join(root, 'etc/mcp-gateway/commands.json'), '{')
  const { code, stderr } = await gateway(['list'])
  expect([code, stderr]).toEqual([1, expect.stringContaining('commands.json')])
})
