import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import catalogue from '../../catalogue/catalogue.json' with { type: 'json' }
import type { Catalogue } from '../catalogue/entry.ts'
import { entryOf } from '../config/parse-config.ts'
import { ownCommands } from '../install/mapped-commands.ts'
import type { Places } from '../places.ts'
import { Refusal } from '../refusal.ts'

/** Says which command, or which endpoint, is a server of the catalogue: `mcp-gateway map aks -- aks-mcp --transport=stdio`. */
export function map(name: string | undefined, command: string[], places: Places): string[] {
  if (name === undefined || command.length === 0) {
    throw new Refusal('name a server and its command: mcp-gateway map <server> -- <command or URL>')
  }
  entryOf(name, catalogue as Catalogue)
  const commands = { ...ownCommands(places), [name]: command }
  mkdirSync(dirname(places.commandsFile), { recursive: true })
  const unfinished = `${places.commandsFile}.${process.pid}`
  writeFileSync(unfinished, `${JSON.stringify(commands, null, 2)}\n`)
  renameSync(unfinished, places.commandsFile)
  return [`${name}: runs ${command.join(' ')}`]
}
