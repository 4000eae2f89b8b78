import { Command } from 'commander'
import { addSettingFlags, configOf } from '../setting-flags.ts'

export const templatesCommand = (): Command =>
  new Command('templates')
    .description('what sandboxes can be started from')
    .addCommand(listCommand())
    .addHelpText(
      'after',
      `
Teams build and delete theirs with the SDK or \`e2b template\`; which templates of the catalogue are built says the
setting \`catalog\`.

Examples:
  sandlot templates list
  sandlot templates list --json`,
    )

const listCommand = (): Command =>
  addSettingFlags(new Command('list').description('templates and snapshots of all teams'), ['home'])
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }, command: Command) => {
      const { templatesOf } = await import('../wiring.ts')
      const listed = await templatesOf(configOf(command))
      if (options.json) return void process.stdout.write(`${JSON.stringify(listed)}\n`)
      if (listed.length === 0) return void process.stdout.write('No templates: the first start makes base.\n')
      const rows = listed.map(
        ({ templateId, name, team, status, reason, sizeBytes, spawnCount, updatedAtMs }) => [
          name ?? templateId,
          team ?? 'everybody',
          reason ? `${status}: ${reason.split('\n')[0]!.slice(0, 60)}` : status,
          sizeBytes > 0 ? `${Math.ceil(sizeBytes / 2 ** 20)} MB` : '-',
          String(spawnCount),
          new Date(updatedAtMs).toISOString(),
        ],
      )
      const table = [['name', 'team', 'status', 'checkpoint', 'started', 'changed'], ...rows]
      const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
      for (const row of table)
        process.stdout.write(
          `${row
            .map((cell, column) => cell.padEnd(widths[column]!))
            .join('  ')
            .trimEnd()}\n`,
        )
    })
