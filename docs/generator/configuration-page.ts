import {
  flagOf,
  type SettingName,
  settingNames,
  settingSchemas,
  variableOf,
} from '../../packages/sandlot/src/settings.ts'
import { code, inline, table } from './markdown.ts'

const INTRODUCTION = `# Configuration

<!-- Generated from packages/sandlot/src/settings.ts by \`npm run docs\`. Change that file, not this one. -->

Each setting can be given as a flag of \`sandlot up\`, as an environment variable, or as a key of \`sandlot.config.json\` at the top of the repository
(another file: \`--config\` or \`SANDLOT_CONFIG\`). Flags win over variables, variables over the file, the file over the defaults.

\`\`\`sh
npm start -- --listen 127.0.0.1:3001 --slots 64               # flags go behind --
SANDLOT_LISTEN=127.0.0.1:3001 SANDLOT_SLOTS=64 npm start
echo '{ "listen": "127.0.0.1:3001", "slots": 64 }' > sandlot.config.json && npm start
npm run sandlot -- config                                     # every setting, its value, and where that came from
\`\`\`

A value that cannot be right ends the start with one sentence that names the setting, the value, where it came from and what is expected. Lists are
separated by commas in flags and variables, and are arrays in the file. A secret has no flag, as every user of a machine can read command lines.

Two servers on one machine need different values for \`home\`, \`listen\` and \`networkRange\`.
`

/** Makes the reference of all settings out of their schema. */
export function configurationPage(): string {
  const rows = settingNames.map((name) => [namesOf(name), defaultOf(name), meaningOf(name)])
  return [INTRODUCTION, '## Settings', '', ...table(['Setting', 'Default', 'Meaning'], rows)].join('\n')
}

/** All three names, so that a search for any of them finds the row. */
function namesOf(name: SettingName): string {
  const flag = settingSchemas[name].isSecret ? 'no flag' : code(flagOf(name))
  return `${code(name)}<br>${flag}<br>${code(variableOf(name))}`
}

function defaultOf(name: SettingName): string {
  const { default: value, description } = settingSchemas[name]
  if (value === undefined || /[Dd]efault/.test(description)) return 'see meaning'
  if (value === '' || (Array.isArray(value) && value.length === 0)) return 'none'
  return Array.isArray(value) ? value.map((item) => code(String(item))).join('<br>') : code(String(value))
}

const meaningOf = (name: SettingName): string => {
  const { description, expects } = settingSchemas[name]
  return inline(`${description.replace(/\.$/, '')}. Must be ${expects}.`)
}
