import { Command } from 'commander'
import type { Config } from '../config.ts'
import { envFilePath } from '../env-file.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'

export const upCommand = (): Command =>
  addSettingFlags(
    new Command('up').description(
      'set up this machine as needed, and run the server until SIGTERM or Ctrl-C',
    ),
  )
    .addHelpText(
      'after',
      `
Sandboxes outlive the server: the next \`up\` finds them again. \`sandlot down\` ends them too.
Logs go to standard output (JSON when it is no terminal), progress to standard error.

Examples:
  sandlot up
  sandlot up --port 3001 --home /srv/other --network-range 10.178.0.0/16
  sandlot up --listen 0.0.0.0:443 --domain sandboxes.example.com`,
    )
    .action(async (_options: unknown, command: Command) => {
      const config = configOf(command)
      for (const warning of config.warnings) process.stderr.write(`! ${warning}\n`)
      // Loaded on demand, so that other commands need not load the whole server.
      const { serve } = await import('../serve.ts')
      await serve(config, (apiKey) => process.stderr.write(welcome(config, apiKey)))
    })

/** Instructions for a new user. */
const welcome = ({ settings }: Config, apiKey: string): string => `
Sandlot is up: http://${settings.listen}  (domain ${settings.domain}, key ${apiKey.slice(0, 12)}…)

  source ${envFilePath(settings.home)}
  npm i e2b
  node --input-type=module -e "import { Sandbox } from 'e2b'; const s = await Sandbox.create(); console.log((await s.commands.run('echo Hello from a sandbox')).stdout); await s.kill()"

`
