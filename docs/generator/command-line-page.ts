import type { Command } from 'commander'
import { createProgram as createClient } from '../../packages/cli/src/program.ts'
import { createProgram as createServer } from '../../packages/sandlot/src/program.ts'
import { flagOf, settingNames } from '../../packages/sandlot/src/settings.ts'
import { code, inline, table } from './markdown.ts'

const INTRODUCTION = `# Command line

<!-- Generated from the programs by \`npm run docs\`. Change the command, not this file. -->

Two programs: [\`sandlot\`](#sandlot) runs the server and belongs to its administrator, [\`e2b\`](#e2b) uses it and belongs to everybody. Both print what they were asked for to
standard output and everything else to standard error, and end with a code other than 0 when they fail.
`

const SERVER_NOTE = `From a clone of the repository: \`npm run sandlot -- <command>\`. Every [setting](configuration.md) that a command names is a flag of it.
`

const CLIENT_NOTE = `The commands, flags and output formats of the official CLI 2.19, and more. Install the one that matches a server from that server:
\`npm i -g http://localhost:3000/npm/e2b-cli.tgz\`. It finds the server by \`E2B_API_KEY\` and \`E2B_DOMAIN\` (\`source .sandlot/env\`), by what \`e2b auth login\` has stored, or as the Sandlot on this machine.
`

const SETTING_FLAGS = new Set([...settingNames.map(flagOf), '--port', '--config'])

/** Makes the reference of both programs out of their command definitions. */
export async function commandLinePage(): Promise<string> {
  const server = createServer()
  const client = await createClient([])
  return [
    INTRODUCTION,
    `## ${server.name()}\n\n${server.description()}\n\n${SERVER_NOTE}`,
    ...server.commands.flatMap((command) => sections(command, server.name())),
    `## ${client.name()}\n\n${client.description()}\n\n${CLIENT_NOTE}`,
    ...client.commands.flatMap((command) => sections(command, client.name())),
  ].join('\n')
}

/** Describes a command and, for a group, the commands in it. Hidden ones are left out, as help leaves them out. */
function sections(command: Command, parents: string): string[] {
  if ((command as Command & { _hidden?: boolean })._hidden) return []
  const name = `${parents} ${command.name()}`
  const own = [
    `### ${name}`,
    '',
    ...(command.description() ? [`${inline(sentence(command.description()))}${aliasesOf(command)}`, ''] : []),
    ...(command.commands.length > 0 && command.registeredArguments.length === 0
      ? []
      : [usageOf(command, parents), '']),
    ...argumentsOf(command),
    ...optionsOf(command),
    ...settingsOf(command),
    ...textAfterHelp(command),
  ]
  return [own.join('\n'), ...command.commands.flatMap((child) => sections(child, name))]
}

const sentence = (text: string): string => {
  const start = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?]$/.test(start) ? start : `${start}.`
}

const aliasesOf = (command: Command): string =>
  command.aliases().length === 0 ? '' : ` Short: ${command.aliases().map(code).join(', ')}.`

const usageOf = (command: Command, parents: string): string =>
  `\`\`\`sh\n${parents} ${command.name()} ${command.usage()}\n\`\`\``

const argumentsOf = (command: Command): string[] =>
  table(
    ['Argument', 'Meaning'],
    command.registeredArguments
      .filter(({ description }) => description !== '')
      .map((argument) => [code(argument.name()), inline(argument.description)]),
  )

/** Options of the command itself; settings are described once, in the configuration reference. */
const optionsOf = (command: Command): string[] =>
  table(
    ['Option', 'Meaning'],
    command.options
      .filter(({ long, hidden }) => !hidden && !(isServers(command) && SETTING_FLAGS.has(long ?? '')))
      .map((option) => [
        code(option.flags),
        inline(`${option.description}${defaultOf(option.defaultValue)}`),
      ]),
  )

function defaultOf(value: unknown): string {
  const isEmpty = typeof value === 'object' && value !== null && Object.keys(value).length === 0
  if (value === undefined || value === false || isEmpty) return ''
  return ` (default: ${typeof value === 'object' ? JSON.stringify(value) : value})`
}

function settingsOf(command: Command): string[] {
  if (!isServers(command)) return []
  const settings = command.options.map(({ long }) => long ?? '').filter((long) => SETTING_FLAGS.has(long))
  if (settings.length === 0) return []
  if (settings.length > settingNames.length / 2)
    return ['Settings: all of the [configuration](configuration.md).', '']
  return [`Settings: ${settings.map(code).join(', ')} ([configuration](configuration.md)).`, '']
}

/** Two programs share these functions, and only the server's has settings. */
function isServers(command: Command): boolean {
  let root = command
  while (root.parent) root = root.parent
  return root.name() === 'sandlot'
}

/** Examples and notes that the help of a command ends with. */
function textAfterHelp(command: Command): string[] {
  let whole = ''
  command.configureOutput({
    writeOut: (text) => void (whole += text),
    getOutHelpWidth: () => 120,
    getOutHasColors: () => false,
  })
  command.outputHelp()
  const text = whole.slice(command.helpInformation().length).trim()
  return text === '' ? [] : [`\`\`\`text\n${text}\n\`\`\``, '']
}
