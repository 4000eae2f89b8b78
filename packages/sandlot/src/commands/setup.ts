import { Command } from 'commander'
import { createProgress } from '../progress.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'

export const setupCommand = (): Command =>
  addSettingFlags(
    new Command('setup').description('set up this machine as needed, without starting a server'),
  )
    .addHelpText(
      'after',
      `
Provides Debian packages, runsc, envd and the base image, unless they exist already. \`sandlot up\` begins with this too.

Examples:
  sandlot setup
  sandlot setup --cache /srv/sandlot-cache`,
    )
    .action(async (_options: unknown, command: Command) => {
      const config = configOf(command)
      const progress = createProgress()
      const [{ prepareMachine }, { prepareBaseImage }] = await Promise.all([
        import('../setup/index.ts'),
        import('../machine.ts'),
      ])
      await prepareMachine(config, progress)
      await prepareBaseImage(config, progress)
    })
