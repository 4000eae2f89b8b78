import { Command } from 'commander'
import { mapMcpServer, mcpCommandsOf, unmapMcpServer } from '../mcp-commands.ts'
import { addSettingFlags, configOf } from '../setting-flags.ts'

const homeOf = (command: Command) => configOf(command).settings.home

export const mcpCommand = (): Command =>
  new Command('mcp')
    .description('commands of MCP servers that sandboxes cannot install by themselves')
    .addCommand(mapCommand())
    .addCommand(unmapCommand())
    .addCommand(listCommand())
    .addHelpText(
      'after',
      `
106 servers of the catalogue exist only as container images. Put the program of one into a template and say here how it is started, or run
it elsewhere and give its URL. Sandboxes that are created afterwards with this server in \`mcp\` use it; a template's own
\`mcp-gateway map\` wins. The server need not be restarted. Options are in the program's environment, or written {option}.
Whoever creates a sandbox with the server can read the command: no secrets in it, nor in the URL.

Examples:
  sandlot mcp map aks -- aks-mcp --transport=stdio --access-level={accessLevel}
  sandlot mcp map dart -- https://mcp.example.com/mcp
  sandlot mcp list
  sandlot mcp unmap aks`,
    )

const mapCommand = (): Command =>
  addSettingFlags(
    new Command('map')
      .argument('<server>', 'key of `mcp` in Sandbox.create')
      .argument(
        '<command...>',
        'program in the sandbox and its arguments, or the URL of an endpoint, after --',
      )
      .description('say what runs an MCP server in sandboxes'),
    ['home'],
  ).action((server: string, words: string[], _options: unknown, command: Command) => {
    mapMcpServer(homeOf(command), server, words)
    process.stdout.write(`${server}: runs ${words.join(' ')}\n`)
  })

const unmapCommand = (): Command =>
  addSettingFlags(
    new Command('unmap')
      .argument('<server>', 'from `sandlot mcp list`')
      .description('forget the command of a server'),
    ['home'],
  ).action((server: string, _options: unknown, command: Command) => {
    unmapMcpServer(homeOf(command), server)
    process.stdout.write(`${server}: has no command of yours any more\n`)
  })

const listCommand = (): Command =>
  addSettingFlags(new Command('list').description('list the commands'), ['home'])
    .option('--json', 'as JSON')
    .action((options: { json?: boolean }, command: Command) => {
      const commands = mcpCommandsOf(homeOf(command))
      if (options.json) return void process.stdout.write(`${JSON.stringify(commands)}\n`)
      const lines = Object.entries(commands).map(([server, words]) => `${server}  ${words.join(' ')}\n`)
      process.stdout.write(lines.join('') || 'None. Add one: sandlot mcp map <server> -- <command or URL>\n')
    })
