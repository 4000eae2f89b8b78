import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { server } from '../conformance/official.ts'

/** A server of the gateway's catalogue that exists only as an image. */
export const NOTES_SERVER = 'simplechecklist'

/** A whole MCP server over stdio, in a program for `node -e`: its tool `read_note` returns the content of a file. */
const program = `
const { readFileSync } = require('node:fs')
const inputSchema = { type: 'object', properties: { path: { type: 'string' } }, required: ['path'] }
const answers = {
  initialize: ({ protocolVersion }) =>
    ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'notes', version: '1' } }),
  'tools/list': () => ({ tools: [{ name: 'read_note', inputSchema }] }),
  'tools/call': ({ arguments: { path } }) => ({ content: [{ type: 'text', text: readFileSync(path, 'utf8') }] }),
}
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line)
  if (id === undefined) return
  const answer = answers[method]
  const rest = answer ? { result: answer(params) } : { error: { code: -32601, message: method } }
  console.log(JSON.stringify({ jsonrpc: '2.0', id, ...rest }))
})`

/** Makes it the server `NOTES_SERVER` of all sandboxes of the suite, as an administrator does: nothing needs to be installed. */
export async function mapNotesServer(): Promise<void> {
  const main = join(import.meta.dirname, '../../packages/sandlot/src/main.ts')
  const words = ['mcp', 'map', '--home', server.home, NOTES_SERVER, '--', 'node', '-e', program]
  await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...words])
}
