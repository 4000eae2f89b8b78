import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { print, printJson } from '../../output/out.ts'

export const info = (): Command =>
  new Command('info')
    .description('get information about the current user')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b auth info
  e2b auth info -f json`,
    )
    .action(async ({ format }: { format: Format }) => {
      const { readConfig } = await import('../../account/user-config.ts')
      const config = readConfig()
      const email = config?.identity.email
      const { projectName, projectId } = config ?? {}
      if (format === 'json') return printJson({ isLoggedIn: Boolean(config), email, projectName, projectId })
      if (!config) return print('Not logged in')
      await print(`You are logged in as ${email},\nSelected project: ${projectName} (${projectId})`)
    })
