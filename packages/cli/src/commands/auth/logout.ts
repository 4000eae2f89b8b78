import { Command } from 'commander'
import { note, print } from '../../output/out.ts'

export const logout = (): Command =>
  new Command('logout')
    .description('log out of CLI')
    .addHelpText(
      'after',
      `
Revokes the login on the server and removes it from this machine.

Examples:
  e2b auth logout`,
    )
    .action(async () => {
      const { readConfig, removeConfig } = await import('../../account/user-config.ts')
      const config = readConfig()
      if (!config) return print('Not logged in, nothing to do')
      const { revoke } = await import('../../account/tokens.ts')
      // The local login is removed even when the server cannot be reached.
      await revoke(config).catch((error: Error) => {
        note(
          `The server could not revoke the login (${error.message}), which stays valid there until it expires.`,
        )
      })
      removeConfig()
      await print('Logged out.')
    })
