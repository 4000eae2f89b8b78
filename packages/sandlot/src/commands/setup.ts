import { Command } from 'commander'
import { createProgress } from '../progress.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'

export const setupCommand = (): Command =>
  addSettingFlags(
    new Command('setup').description('set up what is missing on this machine, without starting a server'),
  )
    .addHelpText(
      'after',
      `
Debian packages, runsc, envd and the base image; what is there is not made again. \`sandlot up\` does the same first.

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
