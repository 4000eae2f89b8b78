import { existsSync, readFileSync } from 'node:fs'
import type { Places } from '../places.ts'
import { Refusal } from '../refusal.ts'

/** By the name of a server: a command and its arguments, or only the URL of an endpoint. */
export type MappedCommands = Record<string, string[]>

/** Set by the server of Sandlot for the servers that the sandbox is created with: what `sandlot mcp map` stored. */
const VARIABLE = 'MCP_GATEWAY_COMMANDS'

/** Reads what `sandlot mcp map` and `mcp-gateway map` stored; the latter wins, because it is in the template with the program. */
export function mappedCommands(
  { commandsFile }: Places,
  environment: NodeJS.ProcessEnv = process.env,
): MappedCommands {
  const given = environment[VARIABLE]
  return {
    ...(given && parse(given, VARIABLE)),
    ...(existsSync(commandsFile) && parse(readFileSync(commandsFile, 'utf8'), commandsFile)),
  }
}

/** Reads what `mcp-gateway map` stored. */
export const ownCommands = (places: Places): MappedCommands => mappedCommands(places, {})

function parse(json: string, origin: string): MappedCommands {
  try {
    return JSON.parse(json) as MappedCommands
  } catch (error) {
    throw new Refusal(`${origin} is not JSON: ${(error as Error).message}`)
  }
}
