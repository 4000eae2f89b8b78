import type { CopySummary } from '@sandlot/server'
import { Command } from 'commander'
import { createProgress } from '../progress.ts'

export const dbCommand = (): Command =>
  new Command('db').description('move the database of an instance').addCommand(copyCommand())

const copyCommand = (): Command =>
  new Command('copy')
    .description('copy everything into an empty database, and compare every row')
    .requiredOption('--from <store>', 'what is copied: sqlite:<path> or postgres://…')
    .requiredOption('--to <store>', 'an empty database: postgres://… or sqlite:<path>')
    .option('--home <folder>', 'home that the sandboxes are on. Default: the folder of the SQLite file')
    .addHelpText(
      'after',
      `
Stop the server first (SIGTERM; sandboxes go on). All or nothing: when a row cannot be copied or differs afterwards, the
target stays empty. The source stays as it is. Afterwards set \`store\` (SANDLOT_STORE, or in sandlot.config.json) to the
target and start the server on the same home: sandboxes, keys, templates and sessions go on.
Every user of a machine sees command lines: put a password into PGPASSWORD or ~/.pgpass instead of the URL.

Examples:
  sandlot db copy --from sqlite:/srv/sandlot/db.sqlite --to postgres://sandlot@db.example.com/sandlot
  sandlot db copy --from sqlite:.sandlot/db.sqlite --to 'postgres://sandlot@/sandlot?host=/run/postgresql'
  sandlot db copy --from postgres://sandlot@db.example.com/sandlot --to sqlite:/srv/sandlot/db.sqlite`,
    )
    .action(async (options: { from: string; to: string; home?: string }) => {
      const { copyDatabase } = await import('../database-copy.ts')
      const progress = createProgress()
      let summary: CopySummary | undefined
      await progress.step('copy', async (step) => {
        summary = await copyDatabase(options, ({ table, rows, phase }) =>
          step.update(`${phase} ${table}: ${rows} rows`),
        )
        return 'every row is there and the same'
      })
      process.stdout.write(table(summary!))
    })

function table({ tables }: CopySummary): string {
  const total = tables.reduce((sum, { rows }) => sum + rows, 0)
  const lines = [...tables.filter(({ rows }) => rows > 0), { table: 'in all', rows: total }]
  const width = Math.max(...lines.map(({ table }) => table.length))
  return lines.map(({ table, rows }) => `${table.padEnd(width)}  ${rows}\n`).join('')
}
