#!/usr/bin/env node
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import packageJson from '../package.json' with { type: 'json' }
import { CallLimits } from './call-limits.ts'
import { Connection } from './connection.ts'
import { createMcpServer } from './mcp-server.ts'

const HELP = `sandlot-mcp: an MCP server (stdio) whose tools are sandboxes of a Sandlot

It is started by an MCP client, for example: claude mcp add sandlot -- npx -y @sandlot/mcp

Environment:
  E2B_API_KEY      API key; default: that of a Sandlot on this machine (<its folder>/.sandlot/env)
  E2B_DOMAIN       domain of the Sandlot, for example sandlot.example.com
  E2B_API_URL      URL of its API; default https://api.<E2B_DOMAIN>
  E2B_SANDBOX_URL  one URL for all sandboxes; default: each has a host name of its own
  NODE_EXTRA_CA_CERTS  file with the certificate authority of a Sandlot with certificates of its own

Options: --help, --version
`
/** Calls of one client that run at a time. */
const MAX_CALLS = 64
/** Time for calls that were aborted to kill their commands. */
const END_MS = 3_000

const [option] = process.argv.slice(2)
if (option === '--version') process.stdout.write(`${packageJson.version}\n`)
else if (option === '--help') process.stdout.write(HELP)
else if (option !== undefined) {
  process.stderr.write(`sandlot-mcp: '${option}' is not an option; --help shows what there is\n`)
  process.exitCode = 2
} else serve()

function serve(): void {
  const caller = { connection: new Connection({}), limits: new CallLimits(MAX_CALLS, MAX_CALLS), owner: '' }
  const handle = serveStdio(() => createMcpServer(caller), {
    onerror: (error) => process.stderr.write(`sandlot-mcp: ${error.message}\n`),
  })
  const end = () => {
    setTimeout(() => process.exit(0), END_MS).unref()
    void handle.close()
  }
  process.stdin.once('close', end).once('end', end)
  process.once('SIGTERM', end).once('SIGINT', end)
}
