import { Command, Option } from 'commander'
import type { SnapshotInfo } from 'e2b'
import { type Format, formatOption } from '../../../options/format.ts'
import { collect, limitOption } from '../../../options/limit.ts'
import { note, print, printJson } from '../../../output/out.ts'
import { type Column, formatTable } from '../../../output/table.ts'

export const list = (): Command =>
  new Command('list')
    .description('list snapshots')
    .argument('[sandboxID]', 'list only snapshots created from [sandboxID]')
    .addOption(
      new Option('-n, --name <name>', 'filter by name or ID, with or without tag, eg. my-snapshot:v1'),
    )
    .addOption(limitOption('snapshots'))
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b sandbox snapshot list
  e2b sandbox snapshot list i0lf5glwo7abo25de80rz -f json`,
    )
    .action(run)

const COLUMNS: Column<SnapshotInfo>[] = [
  { title: 'SNAPSHOT ID', value: (snapshot) => snapshot.snapshotId },
  { title: 'NAMES', value: (snapshot) => snapshot.names.join(', ') },
]

async function run(
  sandboxId: string | undefined,
  { name, limit, format }: { name?: string; limit: number; format: Format },
): Promise<void> {
  const { connect } = await import('../../../account/connection.ts')
  const { sdk, opts } = await connect()
  const pages = sdk.Sandbox.listSnapshots({ ...opts, ...(sandboxId && { sandboxId }), ...(name && { name }) })
  const { items, hasMore } = await collect(pages, limit)
  if (format === 'json') return printJson(items)
  if (items.length === 0) return print('No snapshots found')
  await print(formatTable(items, COLUMNS))
  if (hasMore) note(`There are more than ${limit}. -l 0 lists all.`)
}
