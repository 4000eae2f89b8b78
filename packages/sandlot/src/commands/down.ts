import { Command } from 'commander'
import { createProgress } from '../progress.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'
import { stopServer, whileStopped } from '../stop-server.ts'

export const downCommand = (): Command =>
  addSettingFlags(
    new Command('down').description('stop the server and end its sandboxes; the home is kept'),
    ['home', 'networkRange'],
  )
    .addHelpText(
      'after',
      `
To stop the server alone and leave its sandboxes running, send it SIGTERM (or Ctrl-C).

Examples:
  sandlot down
  sandlot down --home /srv/sandlot`,
    )
    .action(async (_options: unknown, command: Command) => {
      const { settings } = configOf(command)
      const progress = createProgress()
      await progress.step('server', () => stopServer(settings.home))
      await progress.step('sandboxes', async () => {
        const { removeMachines } = await import('../remove-machines.ts')
        await whileStopped(settings.home, () => removeMachines(settings.home))
        return 'ended'
      })
    })
