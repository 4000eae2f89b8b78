import { SandlotError } from '@sandlot/protocol'
import { Command } from 'commander'
import { findServer } from '../server-lock.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'

export const loginLinkCommand = (): Command =>
  addSettingFlags(
    new Command('login-link').description(
      'print a link that signs a browser in, once, within ten minutes (for `e2b auth login`)',
    ),
    ['home'],
  )
    .addHelpText(
      'after',
      `
Who may write the database of the home is the administrator: run it on the server.

Examples:
  sandlot login-link
  ssh server sandlot login-link --home /srv/sandlot`,
    )
    .action(async (_options: unknown, command: Command) => {
      const config = configOf(command)
      const { home } = config.settings
      const server = findServer(home)
      if (!server)
        throw new SandlotError(
          'conflict',
          `no server runs on ${home}, and a link would not work. Start one with \`sandlot up\`.`,
        )
      const { makeLoginLink } = await import('../wiring.ts')
      process.stdout.write(`${await makeLoginLink(config, server.domain)}\n`)
    })
