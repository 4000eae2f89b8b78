// Claude Code as a client of Sandlot's own MCP server, over both ways, with a scripted model that dictates the calls.
import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startScriptedLlm } from '../llm/server.ts'
import { attempt, check, installed } from './steps.mjs'

const MAIN = join(import.meta.dirname, '../../packages/mcp/src/main.ts')
const { E2B_API_KEY, E2B_API_URL, E2B_DOMAIN, NODE_EXTRA_CA_CERTS, HOME } = process.env
const cpu = process.arch === 'arm64' ? 'arm64' : 'x64'
const claudePath = installed.resolve(`@anthropic-ai/claude-code-linux-${cpu}/claude`)
const model = await startScriptedLlm()
const folder = join(HOME, 'work')
await mkdir(folder)

async function claude(...words) {
  const running = promisify(execFile)(claudePath, words, {
    cwd: folder,
    timeout: 150_000,
    env: {
      ...process.env,
      ANTHROPIC_API_KEY: 'scripted',
      ANTHROPIC_BASE_URL: model.url,
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      DISABLE_AUTOUPDATER: '1',
      // the scripted model does not search for tools, and needs them at once
      ENABLE_TOOL_SEARCH: 'false',
      MCP_CONNECTION_NONBLOCKING: '0',
      MCP_TIMEOUT: '60000',
    },
  })
  running.child.stdin.end()
  return (await running).stdout
}

async function addServers() {
  const variables = Object.entries({ E2B_API_KEY, E2B_DOMAIN, NODE_EXTRA_CA_CERTS })
  const env = variables.flatMap(([name, value]) => ['-e', `${name}=${value}`])
  await claude('mcp', 'add', 'sandlot_stdio', ...env, '--', process.execPath, MAIN)
  const header = ['--header', `Authorization: Bearer ${E2B_API_KEY}`]
  await claude('mcp', 'add', '--transport', 'http', 'sandlot_http', `${E2B_API_URL}/mcp`, ...header)
  const list = await claude('mcp', 'list')
  check(list.match(/Connected/g)?.length === 2, list)
}

async function useTools(name) {
  const id = '"sandbox_id": "<sandbox_id>"'
  const plot = 'import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show(); print(6 * 7)'
  const before = model.requests.length
  const said = await claude(
    ...['--allowedTools', `mcp__${name}`, '-p'],
    `Use the sandbox tools.
call mcp__${name}__create_sandbox {"template": "code-interpreter-v1"}
call mcp__${name}__run_command {${id}, "command": "echo from $USER in a sandbox; exit 3"}
call mcp__${name}__run_code {${id}, "code": "${plot}"}
call mcp__${name}__kill_sandbox {${id}}`,
  )
  check(said.includes('"killed":true'), said)
  const { messages } = model.requests.slice(before).findLast(({ method }) => method === 'POST').body
  const results = messages.flatMap(({ content }) =>
    Array.isArray(content) ? content.filter(({ type }) => type === 'tool_result') : [],
  )
  const texts = JSON.stringify(results)
  check(texts.includes('from user in a sandbox') && texts.includes('\\"exit_code\\":3'), texts)
  check(texts.includes('\\"stdout\\":\\"42\\\\n\\"') && texts.includes('"media_type":"image/png"'), texts)
}

await attempt('mcp add, list', addServers)
await attempt('sandbox, command, chart over stdio', () => useTools('sandlot_stdio'))
await attempt('sandbox, command, chart over HTTP', () => useTools('sandlot_http'))
await model.close()
process.exit()
