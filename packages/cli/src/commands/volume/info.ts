import { Command } from 'commander'
import { type Format, formatOption } from '../../options/format.ts'
import { print, printJson } from '../../output/out.ts'
import { volumeLines } from '../../volumes/describe.ts'
import { findInfo } from '../../volumes/find.ts'

export const info = (): Command =>
  new Command('info')
    .description('show a volume, with its size and what it uses')
    .argument('<volume>', 'name or ID')
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  e2b volume info datasets
  e2b volume info datasets -f json | jq .usedMB`,
    )
    .action(async (reference: string, { format }: { format: Format }) => {
      const { connect } = await import('../../account/connection.ts')
      const { sdk, opts } = await connect()
      const { volumeId } = await findInfo(reference)
      const { token, domain, ...volume } = await sdk.Volume.getInfo(volumeId, opts)
      if (format === 'json') return printJson(volume)
      const { snapshotOf } = volume
      const source = snapshotOf
        ? (await sdk.Volume.list(opts)).find((one) => one.volumeId === snapshotOf)
        : undefined
      await print(volumeLines({ ...volume, token }, source?.name).join('\n'))
    })
