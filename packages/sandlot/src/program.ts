import { Command } from 'commander'
import packageJson from '../package.json' with { type: 'json' }
import { adoptCommand } from './commands/adopt.ts'
import { configCommand } from './commands/config.ts'
import { dbCommand } from './commands/db.ts'
import { doctorCommand } from './commands/doctor.ts'
import { downCommand } from './commands/down.ts'
import { gcCommand } from './commands/gc.ts'
import { imagesCommand } from './commands/images.ts'
import { keysCommand } from './commands/keys.ts'
import { loginLinkCommand } from './commands/login-link.ts'
import { mcpCommand } from './commands/mcp.ts'
import { purgeCommand } from './commands/purge.ts'
import { secretsCommand } from './commands/secrets.ts'
import { setupCommand } from './commands/setup.ts'
import { statusCommand } from './commands/status.ts'
import { templatesCommand } from './commands/templates.ts'
import { upCommand } from './commands/up.ts'

export function createProgram(): Command {
  const program = new Command('sandlot')
    .description('Sandboxes for AI agents on any Linux machine, behind the API of E2B.')
    .version(packageJson.version)
    .showHelpAfterError('(sandlot --help lists all commands)')
    .showSuggestionAfterError()
  for (const make of [
    upCommand,
    setupCommand,
    statusCommand,
    downCommand,
    purgeCommand,
    keysCommand,
    gcCommand,
    loginLinkCommand,
    imagesCommand,
    templatesCommand,
    adoptCommand,
    dbCommand,
    secretsCommand,
    mcpCommand,
    configCommand,
    doctorCommand,
  ]) {
    program.addCommand(make())
  }
  return program.addHelpText(
    'after',
    `
Examples:
  npm start                        install what is missing and start the server
  npx sandlot up --port 3001       the same on another port
  npx sandlot doctor               check this machine
  source .sandlot/env              point the official E2B clients at the server`,
  )
}
