import { Command } from 'commander'
import type { DeletedVolumeInfo, VolumeInfo } from 'e2b'
import { type Format, formatOption } from '../../options/format.ts'
import { print, printJson } from '../../output/out.ts'
import { type Column, formatTable } from '../../output/table.ts'
import { formatTime } from '../../output/time.ts'
import { formatMB } from '../../volumes/describe.ts'

export const list = (): Command =>
  new Command('list')
    .description('list the volumes of your team')
    .option('--deleted', 'list those that were deleted and can be restored', false)
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b volume list
  e2b volume list --deleted
  e2b volume list -f json | jq -r '.[].name'`,
    )
    .action(async ({ deleted, format }: { deleted: boolean; format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      if (deleted)
        return show(await sdk.Volume.listDeleted(opts), format, DELETED, 'No deleted volumes found')
      const volumes = await sdk.Volume.list(opts)
      const names = new Map(volumes.map(({ volumeId, name }) => [volumeId, name]))
      await show(volumes, format, columnsWith(names), 'No volumes found')
    })

async function show<Row>(
  volumes: Row[],
  format: Format,
  columns: Column<Row>[],
  none: string,
): Promise<void> {
  if (format === 'json') return printJson(volumes)
  await print(volumes.length === 0 ? none : formatTable(volumes, columns))
}

const COLUMNS: Column<VolumeInfo>[] = [
  { title: 'NAME', value: ({ name }) => name },
  { title: 'VOLUME ID', value: ({ volumeId }) => volumeId },
  { title: 'SIZE', value: ({ sizeMB }) => (sizeMB === undefined ? '' : formatMB(sizeMB)) },
]

/** @param names of volumes by id, for snapshots */
const columnsWith = (names: ReadonlyMap<string, string>): Column<VolumeInfo>[] => [
  ...COLUMNS,
  { title: 'CREATED AT', value: ({ createdAt }) => (createdAt ? formatTime(createdAt) : '') },
  {
    title: 'SNAPSHOT OF',
    value: ({ snapshotOf = '' }) => names.get(snapshotOf) ?? snapshotOf,
  },
]

const DELETED: Column<DeletedVolumeInfo>[] = [
  ...COLUMNS,
  { title: 'DELETED AT', value: ({ deletedAt }) => formatTime(deletedAt) },
  { title: 'CAN BE RESTORED UNTIL', value: ({ removedAt }) => formatTime(removedAt) },
]
