import { withoutCredentials } from '@sandlot/protocol'
import { Command } from 'commander'
import { HIDDEN } from '../config.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'
import { flagOf, type SettingName, settingNames, settingSchemas, variableOf } from '../settings.ts'

export const configCommand = (): Command =>
  addSettingFlags(new Command('config').description('print every setting, its value and where it came from'))
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      `
Flags win over SANDLOT_* variables, these over sandlot.config.json, that over the defaults.

Examples:
  sandlot config
  SANDLOT_POOL_MAX=4 sandlot config --json`,
    )
    .action((options: { json?: boolean }, command: Command) => {
      const { settings, sources, warnings } = configOf(command)
      const shownOf = (name: SettingName) => {
        const value = settings[name]
        if (settingSchemas[name].isSecret && value !== '') return HIDDEN
        return typeof value === 'string' ? withoutCredentials(value) : value
      }
      for (const warning of warnings) process.stderr.write(`! ${warning}\n`)
      if (options.json) {
        const entries = settingNames.map((name) => [
          name,
          { value: shownOf(name), source: sources[name], ...namesOf(name) },
        ])
        process.stdout.write(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`)
        return
      }
      for (const name of settingNames) {
        const value = shownOf(name)
        const shown = Array.isArray(value) ? value.join(',') || '(none)' : String(value)
        process.stdout.write(
          `${name.padEnd(20)} ${shown}  [${sources[name]}]\n${' '.repeat(21)}${settingSchemas[name].description}\n`,
        )
      }
    })

const namesOf = (name: (typeof settingNames)[number]) => ({
  flag: settingSchemas[name].isSecret ? null : flagOf(name),
  variable: variableOf(name),
  description: settingSchemas[name].description,
})
