import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SandlotError } from '@sandlot/protocol'
import catalogue from '../../../guest/mcp-gateway/catalogue/catalogue.json' with { type: 'json' }
import { writeAtomically } from './write-atomically.ts'

/** Commands of MCP servers by their keys in the gateway's catalogue: a program and its arguments, or the URL of an endpoint. */
export type McpCommands = Record<string, string[]>

/** They are in the environment of each sandbox that uses the server. */
const MAX_CHARACTERS = 4096
/** Characters of all commands: one variable holds them, and Linux starts no program with a variable of 128 KiB. */
const MAX_ALL_CHARACTERS = 96 * 1024

const fileOf = (home: string) => join(home, 'mcp-commands.json')

/** Returns the commands of a home. @throws SandlotError invalid_request if the file was damaged */
export function mcpCommandsOf(home: string): McpCommands {
  let content: string
  try {
    content = readFileSync(fileOf(home), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw error
  }
  let commands: unknown
  try {
    commands = JSON.parse(content)
  } catch (error) {
    throw invalid(`${fileOf(home)} is not JSON: ${(error as Error).message}. Correct or remove it`)
  }
  if (!isCommands(commands))
    throw invalid(`${fileOf(home)} is no object of lists of texts. Correct or remove it`)
  return commands
}

const isCommands = (value: unknown): value is McpCommands =>
  typeof value === 'object' &&
  value !== null &&
  Object.values(value).every(
    (words) => Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string'),
  )

/** Stores the command of a server, for sandboxes that are created from now on. @throws SandlotError invalid_request */
export function mapMcpServer(home: string, key: string, command: string[]): void {
  if (!Object.hasOwn(catalogue, key))
    throw invalid(`there is no MCP server '${key}': \`mcp-gateway list\` in a sandbox has all names`)
  const characters = JSON.stringify(command).length
  if (command.length === 0 || command[0] === '')
    throw invalid(`'${key}' needs a command: sandlot mcp map ${key} -- <command or URL>`)
  if (characters > MAX_CHARACTERS)
    throw invalid(
      `the command of '${key}' has ${characters} characters; at most ${MAX_CHARACTERS} are allowed`,
    )
  const commands = { ...mcpCommandsOf(home), [key]: command }
  const all = JSON.stringify(commands).length
  if (all > MAX_ALL_CHARACTERS)
    throw invalid(`all commands would have ${all} characters; at most ${MAX_ALL_CHARACTERS} are allowed`)
  store(home, commands)
}

/** Removes the command of a server. @throws SandlotError not_found if it has none */
export function unmapMcpServer(home: string, key: string): void {
  const { [key]: command, ...others } = mcpCommandsOf(home)
  if (!command) throw new SandlotError('not_found', `no command is stored for the MCP server '${key}'`)
  store(home, others)
}

const store = (home: string, commands: McpCommands) =>
  writeAtomically(fileOf(home), `${JSON.stringify(commands, null, 2)}\n`, 0o600)

const invalid = (message: string) => new SandlotError('invalid_request', message)
