import { withoutCredentials } from '@sandlot/protocol'
import { Command } from 'commander'
import { HIDDEN } from '../config.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'
import {
  flagOf,
  type SettingName,
  type Settings,
  settingNames,
  settingSchemas,
  variableOf,
} from '../settings.ts'

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
      for (const warning of warnings) process.stderr.write(`! ${warning}\n`)
      if (options.json) {
        const entries = settingNames.map((name) => [
          name,
          { value: shownValue(name, settings[name], sources[name]), source: sources[name], ...namesOf(name) },
        ])
        process.stdout.write(`${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`)
        return
      }
      for (const name of settingNames) {
        const value = shownValue(name, settings[name], sources[name])
        const shown = Array.isArray(value) ? value.join(',') || '(none)' : String(value)
        process.stdout.write(
          `${name.padEnd(20)} ${shown}  [${sources[name]}]\n${' '.repeat(21)}${settingSchemas[name].description}\n`,
        )
      }
    })

/** Value of a setting without what others may not see; a default is no secret. */
export function shownValue(name: SettingName, value: Settings[SettingName], source: string) {
  if (settingSchemas[name].isSecret && value !== '' && source !== 'default') return HIDDEN
  return typeof value === 'string' ? withoutCredentials(value) : value
}

const namesOf = (name: (typeof settingNames)[number]) => ({
  flag: settingSchemas[name].isSecret ? null : flagOf(name),
  variable: variableOf(name),
  description: settingSchemas[name].description,
})
