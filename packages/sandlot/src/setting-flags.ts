import { type Command, Option } from 'commander'
import { type Config, loadConfig } from './config.ts'
import { flagOf, type SettingName, settingNames, settingSchemas, variableOf } from './settings.ts'

/** Adds `--config` and a flag for each of the given settings (default: all). */
export function addSettingFlags(command: Command, names: readonly SettingName[] = settingNames): Command {
  for (const name of names) if (!settingSchemas[name].isSecret) command.addOption(optionOf(name))
  if (names.includes('listen')) command.option('--port <number>', 'same as --listen 127.0.0.1:<number>')
  return command.option(
    '--config <file>',
    'configuration file (env SANDLOT_CONFIG; default: <repo>/sandlot.config.json)',
  )
}

/** Loads the configuration of a command from its flags. @throws SandlotError invalid_request */
export function configOf(command: Command): Config {
  const options = command.opts<Record<string, string | undefined>>()
  const flags: Partial<Record<SettingName, unknown>> = {}
  for (const name of settingNames) flags[name] = options[optionOf(name).attributeName()]
  if (options.port !== undefined) flags.listen ??= options.port
  return loadConfig({ flags, file: options.config })
}

function optionOf(name: SettingName): Option {
  const { description, default: value } = settingSchemas[name]
  const shown =
    value === undefined || (Array.isArray(value) && value.length === 0) ? '' : `; default: ${value}`
  return new Option(`${flagOf(name)} <value>`, `${description} (env ${variableOf(name)}${shown})`)
}
