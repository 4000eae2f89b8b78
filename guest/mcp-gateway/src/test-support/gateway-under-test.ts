import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import type { Launch } from '../config/launch.ts'
import { Gateway } from '../gateway/gateway.ts'
import { AccessToken, storeToken } from '../http/access-token.ts'
import { HttpServer } from '../http/http-server.ts'
import { serverIdentity } from '../identity.ts'
import { Log } from '../log.ts'
import { ServerConnection } from '../upstream/server-connection.ts'

export const TOKEN = 'the-token-of-the-test'

/** A process of the fixture server with this name. */
export const fixture = (name: string): Launch => ({
  kind: 'process',
  command: process.execPath,
  arguments: [fileURLToPath(new URL('fixture-server.ts', import.meta.url)), name],
  environment: {},
})

/** A gateway in this process, with real servers and a real port. */
export async function startGateway(servers: Record<string, Launch | (() => Promise<Launch>)>) {
  const folder = mkdtempSync(join(tmpdir(), 'mcp-gateway-test-'))
  const log = new Log(join(folder, 'gateway.log'))
  const gateway = new Gateway(log)
  storeToken(join(folder, '.token'), TOKEN)
  const token = new AccessToken(join(folder, '.token'))
  gateway.servers = Object.entries(servers).map(
    ([name, launch]) =>
      new ServerConnection({
        name,
        mayAskForRoots: true,
        identity: { ...serverIdentity('root:x:0:0::/root:'), home: folder },
        log,
        prepare: async () => (typeof launch === 'function' ? await launch() : launch),
        events: gateway,
      }),
  )
  const http = new HttpServer(gateway, token)
  const port = await http.listen(0, '127.0.0.1')
  await Promise.all(gateway.servers.map((server) => server.start()))
  const url = `http://127.0.0.1:${port}`
  return {
    folder,
    gateway,
    http,
    url,
    headers: { authorization: `Bearer ${TOKEN}` },
    async stop() {
      await http.close()
      await gateway.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A client of the newest SDK, connected by streamable HTTP. */
export async function connectClient(
  url: string,
  options: ConstructorParameters<typeof Client>[1] = {},
  prepare: (client: Client) => void = () => {},
): Promise<Client> {
  const client = new Client({ name: 'test', version: '1.0.0' }, options)
  prepare(client)
  await client.connect(
    new StreamableHTTPClientTransport(new URL('/mcp', url), {
      requestInit: { headers: { authorization: `Bearer ${TOKEN}` } },
    }),
  )
  return client
}

export const textOf = (result: unknown): string =>
  ((result as { content: Array<{ text: string }> }).content[0] as { text: string }).text
