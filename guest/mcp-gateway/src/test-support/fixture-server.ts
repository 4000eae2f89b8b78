// A real MCP server for tests: `node fixture-server.ts <name>`.
import { McpServer } from '@modelcontextprotocol/server'
import { StdioServerTransport } from '@modelcontextprotocol/server/stdio'
import { z } from 'zod/v4'

const name = process.argv[2] ?? 'fixture'
const text = (value: unknown) => ({ content: [{ type: 'text' as const, text: String(value) }] })
const server = new McpServer(
  { name, version: '1.0.0' },
  { capabilities: { logging: {} }, instructions: `I am ${name}.` },
)
let cancelled = 0
let grown = 0

server.registerTool('whoami', {}, async () => text(`${name} ${process.pid}`))
server.registerTool(`only_${name}`, {}, async () => text(name))
server.registerTool('crash', {}, async () => process.exit(3))
server.registerTool('cancelled', {}, async () => text(cancelled))
server.registerTool('grow', {}, async () => {
  server.registerTool(`grown_${name}_${++grown}`, {}, async () => text('grown'))
  return text('grown')
})
server.registerTool('big', { inputSchema: z.object({ bytes: z.number() }) }, async ({ bytes }) =>
  text('x'.repeat(bytes)),
)
server.registerTool('slow', { inputSchema: z.object({ ms: z.number() }) }, async ({ ms }, { mcpReq }) => {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms)
    mcpReq.signal.addEventListener('abort', () => {
      cancelled++
      clearTimeout(timer)
      resolve()
    })
  })
  return text('done')
})
server.registerTool(
  'progress',
  { inputSchema: z.object({ pauseMs: z.number().default(0) }) },
  async ({ pauseMs }, { mcpReq }) => {
    for (const progress of [1, 2, 3]) {
      const params = { progressToken: mcpReq._meta?.progressToken, progress, total: 3 }
      await mcpReq.notify({ method: 'notifications/progress', params } as never)
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
    return text('done')
  },
)
server.registerTool('sample', {}, async ({ mcpReq }) => {
  const message = { role: 'user' as const, content: { type: 'text' as const, text: 'hello' } }
  const { content } = await mcpReq.requestSampling({ messages: [message], maxTokens: 10 })
  return text(JSON.stringify(content))
})
server.registerTool('elicit', {}, async ({ mcpReq }) => {
  const answer = await mcpReq.elicitInput({
    message: 'Which colour?',
    requestedSchema: { type: 'object', properties: { colour: { type: 'string' } } },
  })
  return text(JSON.stringify(answer))
})
server.registerTool('roots', {}, async ({ mcpReq }) =>
  text(JSON.stringify(await mcpReq.send({ method: 'roots/list' }))),
)
server.registerTool('log', {}, async () => {
  await server.server.notification({
    method: 'notifications/message',
    params: { level: 'warning', data: 'careful' },
  })
  return text('logged')
})
server.registerTool('secret', {}, async () => text(process.env.GATEWAY_ACCESS_TOKEN ?? 'none'))
server.registerPrompt('greet', { argsSchema: z.object({ who: z.string() }) }, ({ who }) => ({
  messages: [{ role: 'user', content: { type: 'text', text: `${name} greets ${who}` } }],
}))
server.registerResource('state', `state://${name}`, {}, async (uri) => ({
  contents: [{ uri: uri.href, text: `state of ${name}` }],
}))

await server.connect(new StdioServerTransport())
