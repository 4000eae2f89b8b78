import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { print, printJson } from '../../output/out.ts'
import { formatTable } from '../../output/table.ts'

export const list = (): Command =>
  new Command('list')
    .description('list the volumes of your team')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b volume list
  e2b volume list -f json | jq -r '.[].name'`,
    )
    .action(async ({ format }: { format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      const volumes = await sdk.Volume.list(opts)
      if (format === 'json') return printJson(volumes)
      if (volumes.length === 0) return print('No volumes found')
      await print(
        formatTable(volumes, [
          { title: 'NAME', value: ({ name }) => name },
          { title: 'VOLUME ID', value: ({ volumeId }) => volumeId },
        ]),
      )
    })
