// What the MCP gateway costs: `node bench/mcp-gateway.ts [--n 20] [--calls 500] [--json]`, against a server whose catalogue has mcp-gateway.
// Creates with three servers from npm alternate with plain ones of this template. Calls of one tool alternate, inside a sandbox,
// between the gateway and a server of its own over stdio. The memory is that of a gateway that nobody uses.
import { parseArgs } from 'node:util'
import { Sandbox } from 'e2b-official'
import { machine, summarize, timed } from './stats.ts'

const { values } = parseArgs({
  options: {
    n: { type: 'string', default: '20' },
    calls: { type: 'string', default: '500' },
    json: { type: 'boolean', default: false },
  },
})
const connection = {
  sandboxUrl: process.env.E2B_SANDBOX_URL ?? `http://sandbox.${process.env.E2B_DOMAIN}`,
  apiUrl: process.env.E2B_API_URL,
}
const three = { filesystem: { paths: ['/home/user'] }, memory: {}, sequentialthinking: {} }

/** Runs in the sandbox with the packages of the servers; prints the milliseconds of each call. */
const PROGRAM = `
import { createRequire } from 'node:module'
const require = createRequire('/opt/mcp/.npm/package.json')
const { Client } = require('@modelcontextprotocol/sdk/client/index.js')
const { StdioClientTransport } = require('@modelcontextprotocol/sdk/client/stdio.js')
const { StreamableHTTPClientTransport } = require('@modelcontextprotocol/sdk/client/streamableHttp.js')
const connected = async (transport) => {
  const client = new Client({ name: 'bench', version: '1' })
  await client.connect(transport)
  return client
}
const server = '/opt/mcp/memory/node_modules/@modelcontextprotocol/server-memory/dist/index.js'
const headers = { authorization: 'Bearer ' + process.env.TOKEN }
const clients = {
  stdio: await connected(new StdioClientTransport({ command: 'node', args: [server], stderr: 'ignore' })),
  gateway: await connected(new StreamableHTTPClientTransport(new URL('http://localhost:50005/mcp'), { requestInit: { headers } })),
}
const times = { stdio: [], gateway: [] }
for (let at = -20; at < Number(process.env.CALLS); at++)
  for (const [name, client] of Object.entries(clients)) {
    const started = performance.now()
    await client.callTool({ name: 'search_nodes', arguments: { query: 'nothing' } })
    if (at >= 0) times[name].push(performance.now() - started)
  }
console.log(JSON.stringify(times))
process.exit()
`

const creates = { withServers: [] as number[], plain: [] as number[] }
for (let at = 0; at < Number(values.n); at++) {
  const [one, withServers] = await timed(() => Sandbox.create({ mcp: three, ...connection }))
  await one.kill()
  const [other, plain] = await timed(() => Sandbox.create('mcp-gateway', connection))
  await other.kill()
  creates.withServers.push(withServers)
  creates.plain.push(plain)
}

const sandbox = await Sandbox.create({ mcp: { memory: {} }, timeoutMs: 600_000, ...connection })
const read = "grep -E '^(VmRSS|RssAnon)' /proc/$(cut -d' ' -f1 /run/mcp-gateway.pid)/status"
const memory = (await sandbox.commands.run(read, { user: 'root' })).stdout
await sandbox.files.write('/tmp/bench.mjs', PROGRAM)
const { stdout } = await sandbox.commands.run('node /tmp/bench.mjs', {
  envs: { TOKEN: (await sandbox.getMcpToken())!, CALLS: values.calls },
  timeoutMs: 300_000,
})
await sandbox.kill()
const calls = JSON.parse(stdout) as { stdio: number[]; gateway: number[] }
const added = calls.gateway.map((time, at) => time - calls.stdio[at]!)
const report = {
  ...(values.json && { machine: machine() }),
  createMs: { withThreeServers: summarize(creates.withServers), plain: summarize(creates.plain) },
  callMs: { stdio: summarize(calls.stdio), gateway: summarize(calls.gateway), added: summarize(added) },
  idleMemory: memory
    .trim()
    .split('\n')
    .map((line) => line.replaceAll(/\s+/g, ' ')),
}
process.stdout.write(`${JSON.stringify(report, null, values.json ? 2 : 1)}\n`)
